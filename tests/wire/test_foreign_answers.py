"""Test queries to devices of others: a UPnP media server, and a responder of multicast DNS."""

import os
import struct
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from multicast._core import Datagram
from multicast.sync import Sender
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

SEARCH = b"""M-SEARCH * HTTP/1.1\r
HOST: 239.255.255.250:1900\r
MAN: "ssdp:discover"\r
MX: 1\r
ST: upnp:rootdevice\r
\r
"""


@contextmanager
def running(host: Host, *argv: str) -> Generator["subprocess.Popen[str]", None, None]:
    process = host.popen(*argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def first_answer(query: Callable[[], Iterator[Datagram]]) -> Datagram:
    """Ask until somebody answers: the program that is to answer may still be starting."""
    found: list[Datagram] = []

    def asked() -> bool:
        found.extend(query())
        return bool(found)

    until(asked, "an answer")
    return found[0]


def test_query_is_answered_by_a_media_server(
    hosts: list[Host], tool: Callable[[str], str], tmp_path: Path
) -> None:
    us, them, *_ = hosts
    media = tmp_path / "media"
    media.mkdir()
    configuration = tmp_path / "minidlna.conf"
    configuration.write_text(
        f"network_interface=eth0\nmedia_dir={media}\ndb_dir={tmp_path}\nlog_dir={tmp_path}\n"
        "friendly_name=a media server\nnotify_interval=900\nport=8200\n"
    )
    argv = [tool("minidlnad"), "-S", "-f", os.fspath(configuration), "-P", os.fspath(tmp_path / "pid")]
    with (
        running(them, *argv),
        on(us),
        Sender("239.255.255.250:1900", interface="eth0", ttl=2) as tx,
    ):
        answer = first_answer(lambda: tx.query(SEARCH, 0.5))
    assert answer.data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"ST: upnp:rootdevice" in answer.data
    assert (answer.sender[0], answer.interface) == (them.ipv4, "eth0")


def mdns_question(name: str, *, wants_unicast: bool) -> bytes:
    """Return a question for the IPv4 address of a host (RFC 6762 section 5)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question_class = 1 | (0x8000 if wants_unicast else 0)
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, question_class)


@pytest.fixture
def avahi(tool: Callable[[str], str], hosts: list[Host], tmp_path: Path) -> Iterator[None]:
    """Run avahi-daemon on the second host, as the host ``answering.local``."""
    configuration = tmp_path / "avahi.conf"
    configuration.write_text(
        "[server]\nhost-name=answering\nuse-ipv4=yes\nuse-ipv6=no\nallow-interfaces=eth0\nenable-dbus=no\n"
        "[publish]\npublish-addresses=yes\n[wide-area]\nenable-wide-area=no\n"
    )
    # It has a folder of its own for its state, so that several of them can run on one machine.
    folder = "/run/avahi-daemon"
    program = f"{tool('avahi-daemon')} --no-drop-root --no-chroot --no-rlimits --file={configuration}"
    shell = f"mkdir -p {folder} && mount -t tmpfs tmpfs {folder} && exec {program}"
    with running(hosts[1], "bash", "-ec", shell):
        yield


@pytest.mark.usefixtures("avahi")
@pytest.mark.parametrize("port", [5353, 0])
def test_query_is_answered_by_multicast_dns(port: int, hosts: list[Host]) -> None:
    us, them, *_ = hosts
    # From port 5353, only a question that asks for a unicast answer gets one (section 5.4); from another, every one
    # (section 6.7).
    question = mdns_question("answering.local", wants_unicast=port == 5353)
    with on(us), Sender("224.0.0.251:5353", interface="eth0", local=("", port), ttl=255) as tx:
        answer = first_answer(lambda: tx.query(question, 0.5))
    assert answer.sender == (them.ipv4, 5353)
    assert (answer.interface, answer.group) == ("eth0", us.ipv4)
    flags, _, answers = struct.unpack("!3H", answer.data[2:8])
    assert (flags & 0x8000, answers >= 1) == (0x8000, True)
    assert bytes(map(int, them.ipv4.split("."))) in answer.data
