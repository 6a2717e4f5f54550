"""Test ``McastSAY``: what it sends to which group, and which arguments it rejects."""

import errno
import io
import subprocess
import sys
from collections.abc import Iterator

import pytest

from multicast import Receiver, send
from multicast._core import Datagram
from tests.support.programs import environment

GROUP = "239.4.1.1"
OTHER = "239.4.1.2"


@pytest.fixture
def ear(loopback: str) -> Iterator[Receiver]:
    with Receiver([GROUP, OTHER], 0, interface=loopback) as receiver:
        yield receiver


@pytest.fixture
def say() -> send.McastSAY:
    return send.McastSAY()


def heard(ear: Receiver) -> Datagram:
    return ear.recv(timeout=10)


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("Hello, Multicast!", b"Hello, Multicast!"),
        ("", b""),
        (b"", b""),
        (bytes(range(256)), bytes(range(256))),
        (["Hello", "World"], b"Hello World"),
        ("{name} {group} {port}", b"{name} {group} {port}"),
        ("-", b"-"),
        (b"x" * 65507, b"x" * 65507),
    ],
    ids=["text", "empty", "no-bytes", "all-bytes", "words", "braces", "dash", "largest"],
)
def test_say_data_arrives_unchanged(
    say: send.McastSAY, ear: Receiver, loopback: str, data: str | bytes, payload: bytes
) -> None:
    assert say(group=GROUP, port=ear.port, data=data, iface=loopback) == (True, None)
    assert heard(ear).data == payload


def test_say_without_data_sends_the_default_message(say: send.McastSAY, ear: Receiver, loopback: str) -> None:
    say(group=GROUP, port=ear.port, iface=loopback)
    assert heard(ear).data == f"PING from multicast: group: {GROUP}, port: {ear.port}".encode()


@pytest.mark.parametrize("ttl", [0, 1, 9, 255])
def test_say_ttl_is_sent(say: send.McastSAY, ear: Receiver, loopback: str, ttl: int) -> None:
    say(group=GROUP, port=ear.port, ttl=ttl, data="x", iface=loopback)
    assert heard(ear).ttl == ttl


def test_say_default_ttl_is_one(say: send.McastSAY, ear: Receiver, loopback: str) -> None:
    say(group=GROUP, port=ear.port, data="x", iface=loopback)
    assert heard(ear).ttl == 1


def test_say_several_groups_receive_one_copy_each(say: send.McastSAY, ear: Receiver, loopback: str) -> None:
    say(groups=[GROUP, OTHER, GROUP], port=ear.port, data="x", iface=loopback)
    say(group=OTHER, groups=[OTHER], port=ear.port, data="y", iface=loopback)
    assert [(heard(ear).group, heard(ear).group), heard(ear).data] == [(GROUP, OTHER), b"y"]


@pytest.mark.private_net
def test_say_groups_of_both_ip_versions_go_by_the_interface_of_each(
    say: send.McastSAY, free_port: int
) -> None:
    ours = (GROUP, "ff15::4:1:1")
    with (
        Receiver([f"{group}%lo" for group in ours], free_port) as lo,
        Receiver([f"{group}%veth0" for group in ours], free_port) as veth0,
    ):
        say(
            groups=[f"{group}%{name}" for group in ours for name in ("lo", "veth0")], port=free_port, data="x"
        )
        for ear in (lo, veth0):
            assert {heard(ear).group, heard(ear).group} == set(ours)
            # Of IPv6, Linux also hands over the copy that came by the other interface; it is filtered.
            with pytest.raises(TimeoutError):
                ear.recv(timeout=0)


def test_say_standard_input_is_split_between_characters(
    say: send.McastSAY, ear: Receiver, loopback: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "x" * 1315 + "é" + "y" * 3000
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert say(group=GROUP, port=ear.port, data=["-"], iface=loopback) == (True, None)
    pieces = [heard(ear).data for _ in range(4)]
    assert [len(piece) for piece in pieces] == [1315, 1316, 1316, 370]
    assert b"".join(pieces).decode() == text


def test_say_empty_standard_input_sends_nothing(
    say: send.McastSAY, ear: Receiver, loopback: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert say(group=GROUP, port=ear.port, data=["-"], iface=loopback) == (True, None)
    say(group=GROUP, port=ear.port, data="the end", iface=loopback)
    assert heard(ear).data == b"the end"


@pytest.mark.parametrize(
    "wrong",
    [{"group": "10.0.0.1"}, {"group": "junk"}, {"port": 65536}, {"port": 0}, {"ttl": 256}, {"ttl": -1}],
    ids=str,
)
def test_say_argument_out_of_range_raises_value_error(
    say: send.McastSAY, ear: Receiver, loopback: str, wrong: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        say(**{"group": GROUP, "port": ear.port, "data": "x", "iface": loopback, **wrong})
    say(group=GROUP, port=ear.port, data="the end", iface=loopback)
    assert heard(ear).data == b"the end"


def test_say_one_bad_group_sends_nothing(say: send.McastSAY, ear: Receiver, loopback: str) -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1"):
        say(groups=[GROUP, "10.0.0.1"], port=ear.port, data="x", iface=loopback)
    say(group=GROUP, port=ear.port, data="the end", iface=loopback)
    assert heard(ear).data == b"the end"


def test_say_unknown_interface_raises_os_error_that_names_it(say: send.McastSAY) -> None:
    with pytest.raises(OSError, match="nosuch0") as caught:
        say(group=GROUP, port=5000, data="x", iface="nosuch0")
    assert caught.value.errno == errno.ENODEV


def test_say_payload_beyond_udp_limit_raises(say: send.McastSAY, ear: Receiver, loopback: str) -> None:
    with pytest.raises((OSError, ValueError), match=r"65507|too long"):
        say(group=GROUP, port=ear.port, data=b"x" * 65508, iface=loopback)
    say(group=GROUP, port=ear.port, data="the end", iface=loopback)
    assert heard(ear).data == b"the end"


@pytest.mark.parametrize("data", [b"bytes", "text", ["some", "words"]], ids=["bytes", "text", "words"])
def test_say_under_bb_compares_no_bytes_with_text(
    ear: Receiver, loopback: str, data: bytes | str | list[str]
) -> None:
    call = f"multicast.send.McastSAY()(group={GROUP!r}, port={ear.port}, iface={loopback!r}, data={data!r})"
    done = subprocess.run(
        [sys.executable, "-bb", "-c", f"import multicast; {call}"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert heard(ear).data
