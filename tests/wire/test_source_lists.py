"""Test sources that are added to a joined group and removed from it, while another source sends all the time."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver
from tests.support import loops
from tests.support.programs import Program
from tests.wire import faults
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

COUNT = 15_000

# Send numbered datagrams from one address, 10,000 each second.
STREAM = """
import socket, sys, time
source, group, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in group else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.bind((source, 0))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("veth0"))
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
    begin = time.monotonic()
    for number in range(count):
        sock.sendto(b"%d" % number, (group, port))
        while time.monotonic() < begin + number / 10_000: time.sleep(0.0005)
"""


@dataclass(frozen=True)
class Family:
    group: str
    first: str
    second: str
    third: str


FAMILIES = {
    "v4": Family("232.9.8.7", "192.0.2.2", "192.0.2.33", "192.0.2.34"),
    "v6": Family("ff35::9:8:7", "2001:db8::2", "2001:db8::33", "2001:db8::34"),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    """Return the addresses of an IP version; veth0 has all three sources."""
    found = FAMILIES[request.param]
    length, option = (128, "nodad") if ":" in found.group else (32, "")
    for address in (found.second, found.third):
        faults.sh(f"ip addr add {address}/{length} dev veth0 {option}")
    yield found
    for address in (found.second, found.third):
        faults.sh(f"ip addr del {address}/{length} dev veth0")


@contextmanager
def socket_of(source: str) -> Generator[socket.socket, None, None]:
    """Open a socket that sends from an address by veth0."""
    v6 = ":" in source
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("veth0"))
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        yield sock


def send(source: str, group: str, port: int, data: bytes) -> None:
    with socket_of(source) as sock:
        sock.sendto(data, (group, port))


def sources_of(rx: Receiver) -> list[tuple[str, ...]]:
    return [membership.sources for membership in rx.groups]


def stream(family: Family, port: int) -> Program:
    return Program([sys.executable, "-c", STREAM, family.first, family.group, str(port), str(COUNT)])


@pytest.mark.parametrize("options", [{}, {"ring": 100_000}], ids=["plain", "ring"])
def test_source_added_and_removed_under_a_stream_loses_nothing_of_the_other(
    family: Family, options: dict[str, Any]
) -> None:
    over, rounds = threading.Event(), [0]
    with Receiver(family.group, 0, source=family.first, interface="veth0", **options) as rx:

        def change() -> None:
            while not over.is_set():
                rx.join(family.group, source=family.second, interface="veth0")
                send(family.second, family.group, rx.port, b"added")
                rx.leave(family.group, source=family.second, interface="veth0")
                send(family.second, family.group, rx.port, b"removed")
                rounds[0] += 1

        thread = threading.Thread(target=change)
        heard: list[bytes] = []
        with stream(family, rx.port):
            thread.start()
            try:
                while b"%d" % (COUNT - 1) not in heard[-500:]:
                    heard += rx.recv_batch(256, timeout=PATIENCE).payloads()
            finally:
                over.set()
                thread.join()
        assert [data for data in heard if data.isdigit()] == [b"%d" % number for number in range(COUNT)]
        assert rounds[0] > 20
        assert b"added" in heard
        assert b"removed" not in heard
        assert sources_of(rx) == [(family.first,)]


def test_aio_source_added_and_removed_under_a_stream_loses_nothing_of_the_other(family: Family) -> None:
    async def main() -> None:
        async with aio.Receiver(family.group, 0, source=family.first, interface="veth0") as rx:

            async def change() -> None:
                while True:
                    rx.join(family.group, source=family.second, interface="veth0")
                    await asyncio.sleep(0.002)
                    rx.leave(family.group, source=family.second, interface="veth0")
                    await asyncio.sleep(0.002)

            heard: list[bytes] = []
            with stream(family, rx.port):
                task = asyncio.create_task(change())
                async for batch in rx.batches(timeout=PATIENCE):
                    heard += batch.payloads()
                    if heard[-1] == b"%d" % (COUNT - 1):
                        break
                task.cancel()
                await asyncio.wait([task])
            assert heard == [b"%d" % number for number in range(COUNT)]

    loops.run(loops.KINDS["asyncio"], main())


def test_sources_several_are_added_and_removed_at_once(family: Family) -> None:
    both = [family.second, family.third]
    with Receiver(family.group, 0, source=family.first, interface="veth0") as rx:
        rx.join(family.group, source=both)
        assert sources_of(rx) == [(family.first, *both)]
        for source in (family.first, *both):
            send(source, family.group, rx.port, source.encode())
            assert rx.recv(timeout=PATIENCE).sender[0] == source
        rx.leave(family.group, source=both)
        assert sources_of(rx) == [(family.first,)]
        for source in (*both, family.first):
            send(source, family.group, rx.port, source.encode())
        assert rx.recv(timeout=PATIENCE).sender[0] == family.first


def test_source_in_the_text_of_an_endpoint_is_added_and_removed(family: Family) -> None:
    with Receiver(family.group, 0, source=family.first, interface="veth0") as rx:
        rx.join(
            f"[{family.second}]@[{family.group}]"
            if ":" in family.group
            else f"{family.second}@{family.group}"
        )
        assert sources_of(rx) == [(family.first, family.second)]
        rx.leave(
            f"[{family.first}]@[{family.group}]" if ":" in family.group else f"{family.first}@{family.group}"
        )
        assert sources_of(rx) == [(family.second,)]


def test_last_source_removed_leaves_the_group(family: Family) -> None:
    with Receiver(family.group, 0, source=[family.first, family.second], interface="veth0") as rx:
        rx.leave(family.group, source=family.first)
        rx.leave(family.group, source=family.second)
        assert rx.groups == ()
        rx.join(family.group, source=family.first, interface="veth0")
        assert sources_of(rx) == [(family.first,)]


def test_sources_that_cannot_be_changed_change_nothing(family: Family) -> None:
    with Receiver(family.group, 0, source=[family.first, family.second], interface="veth0") as rx:
        before = rx.groups
        wrong: list[tuple[Callable[..., None], dict[str, Any], str]] = [
            (rx.join, {"source": family.first}, f"cannot join {family.first}@{family.group}: already joined"),
            (rx.join, {"source": [family.third, family.second]}, f"{family.second}@{family.group}: already"),
            (rx.leave, {"source": family.third}, f"cannot leave {family.third}@{family.group}: not joined"),
            (
                rx.leave,
                {"source": [family.first, family.third]},
                f"{family.third}@{family.group}: not joined",
            ),
        ]
        for call, options, message in wrong:
            with pytest.raises(ValueError, match=message.replace(".", r"\.")):
                call(family.group, **options)
        assert rx.groups == before
        with pytest.raises(ValueError, match="already joined"):
            rx.join(
                [family.group, "239.1.2.3"] if "." in family.group else [family.group], source=family.first
            )
        assert rx.groups == before


def test_source_of_a_group_for_any_source_is_refused() -> None:
    with Receiver("239.9.8.7", 0, interface="veth0") as rx:
        with pytest.raises(ValueError, match=r"cannot leave 192.0.2.2@239.9.8.7: not joined"):
            rx.leave("239.9.8.7", source="192.0.2.2")
        with pytest.raises(ValueError, match="already joined"):
            rx.join("239.9.8.7", interface="veth0", source="192.0.2.2")


def test_source_that_the_kernel_refuses_is_an_error_that_changes_nothing() -> None:
    limit = "/proc/sys/net/ipv4/igmp_max_msf"
    maximum = int(subprocess.run(["cat", limit], capture_output=True, text=True, check=True).stdout)
    with Receiver("232.9.8.7", 0, source="192.0.2.2", interface="veth0") as rx:
        many = [f"10.9.9.{number}" for number in range(1, maximum + 1)]
        with pytest.raises(OSError, match=rf"cannot join 10.9.9.{maximum}@232.9.8.7 on veth0"):
            rx.join("232.9.8.7", source=many)
        assert sources_of(rx) == [("192.0.2.2",)]
        rx.join("232.9.8.7", source=many[:-1])
        assert len(sources_of(rx)[0]) == maximum


def test_added_source_survives_a_rejoin_of_its_interface(family: Family) -> None:
    with Receiver(family.group, 0, source=family.first, interface="veth0", rejoin=0.01) as rx:
        rx.join(family.group, source=family.second)
        rejoins = rx.stats().rejoins
        while rx.stats().rejoins < rejoins + 3:
            send(family.second, family.group, rx.port, b"x")
            assert rx.recv(timeout=PATIENCE).sender[0] == family.second
        assert sources_of(rx) == [(family.first, family.second)]


OUT_OF_USE = {
    "deleted": f"ip link del {faults.INTERFACE}",
    # An MTU below the minimum of IPv6 (RFC 8200 section 5) makes the kernel leave all IPv6 groups there.
    "without IPv6": f"ip link set {faults.INTERFACE} mtu 1000",
}


@pytest.mark.parametrize("way", OUT_OF_USE.values(), ids=OUT_OF_USE.keys())
@pytest.mark.parametrize("leaving", ["group", "source"])
def test_group_is_left_although_its_interface_has_just_gone_out_of_use(
    family: Family, interface: str, leaving: str, way: str
) -> None:
    sources = [family.first, family.second]
    with Receiver(family.group, 0, source=sources, interface=interface) as rx:
        faults.sh(way)
        # The receiver has not looked since.
        if leaving == "group":
            rx.leave(family.group)
            assert not rx.groups
        else:
            rx.leave(family.group, source=family.first)
            assert sources_of(rx) in ([(family.second,)], [])
