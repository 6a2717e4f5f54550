"""Test what is particular to the packet engine. Other wire tests run with both engines."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any, Literal

import pytest

from multicast import aio
from multicast.apps.listening import Limits
from multicast.apps.wire import Wire
from multicast.exceptions import ClosedError, UnsupportedError
from multicast.sync import Receiver, Sender
from tests.support import waiting
from tests.support.background import running
from tests.support.hosts import Host
from tests.wire import faults, places
from tests.wire.endpoints import Recorder
from tests.wire.exchange import LOOPBACK, PATIENCE, nothing_more, until_in_poll
from tests.wire.frames import Wrapping, raw_from
from tests.wire.test_fork import in_child

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUPS = ["239.9.8.7", "ff15::9:8:7"]

# Without the capability, in a process of its own.
UNPRIVILEGED = """
import errno, logging, sys
from multicast.sync import Receiver, Sender
try:
    Receiver("239.9.8.7", 0, interface="lo", engine="packet")
except PermissionError as error:
    assert error.errno == errno.EPERM
    print(error)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
with Receiver("239.9.8.7", 0, interface="lo", engine="auto") as rx, Sender("239.9.8.7", rx.port, interface="lo") as tx:
    tx.send(b"by sockets")
    print(rx.recv(timeout=10).data.decode(), rx.stats().sockets)
"""


def test_packet_engine_without_capability_names_it_and_auto_uses_sockets(tool: Callable[[str], str]) -> None:
    drop = [tool("setpriv"), "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", UNPRIVILEGED],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    error, choice, received = done.stdout.splitlines()
    assert error.startswith("[Errno 1] cannot open a packet socket: Operation not permitted (")
    assert "CAP_NET_RAW" in error
    assert "setcap cap_net_raw=ep" in error
    assert choice == f"UDP sockets receive the groups: {error.removeprefix('[Errno 1] ')}"
    assert received == "by sockets 1"


def test_auto_engine_with_capability_uses_packets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with LOOPBACK.pair(engine="auto") as (tx, rx):
        assert caplog.messages == ["packet sockets receive the groups"]
        nothing_more(rx, tx)
        # The packet socket, and the UDP socket that reserves the port.
        assert rx.stats().sockets == 2


@pytest.mark.parametrize(
    ("options", "obstacle"), [({"strict": False}, "strict=False"), ({"bind": "0.0.0.0"}, "bind")]
)
def test_packet_engine_with_socket_option_is_rejected(
    options: dict[str, Any], obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=f"engine must be .* with {obstacle}, got "):
        LOOPBACK.receiver(engine="packet", **options)
    caplog.set_level(logging.INFO, "multicast")
    with LOOPBACK.pair(engine="auto", **options) as (tx, rx):
        assert caplog.messages == [f"UDP sockets receive the groups: {obstacle} was given"]
        nothing_more(rx, tx)


def test_packet_receiver_cannot_be_detached_and_goes_on() -> None:
    with LOOPBACK.pair(engine="packet") as (tx, rx):
        with pytest.raises(ValueError, match="cannot detach a receiver of the packet engine"):
            rx.detach()
        nothing_more(rx, tx)


def test_packet_receiver_inherited_by_a_fork_is_refused_there(tmp_path: os.PathLike[str]) -> None:
    with LOOPBACK.pair(engine="packet") as (tx, rx):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            failures: list[str] = []
            for call in (lambda: rx.recv(timeout=0), rx.stats):
                try:
                    call()
                except UnsupportedError as error:
                    failures.append(str(error))
            rx.close()
            os.write(writing, "\n".join(failures).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            lines = answer.read().splitlines()
        assert os.waitpid(child, 0)[1] == 0
        assert len(lines) == 2
        assert all("its packet ring belongs to the process that opened it" in line for line in lines)
        nothing_more(rx, tx)


def test_packet_receiver_closed_in_a_forked_child_leaves_the_drops_to_the_parent() -> None:
    with LOOPBACK.pair({"gso": False}, engine="packet", recv_buffer=1) as (tx, rx):
        for _ in range(20):
            tx.send_many([bytes(1000)] * 100)
        child = os.fork()
        if child == 0:
            rx.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        heard = 0
        with contextlib.suppress(TimeoutError):
            while True:
                heard += len(rx.recv_batch(timeout=0.2))
        drops = rx.stats().kernel_drops
        assert drops
        assert heard + drops == 2000


def test_packet_join_of_another_ip_version_that_fails_leaves_nothing_open() -> None:
    with LOOPBACK.pair(engine="packet") as (tx, rx):
        before = faults.open_descriptors(), rx.stats().sockets
        for _ in range(2):
            with pytest.raises(OSError, match="cannot use nowhere9"):
                rx.join("ff15::9:8:8", "nowhere9")
            assert (faults.open_descriptors(), rx.stats().sockets) == before
        rx.join("ff15::9:8:8", "lo")
        with Sender("ff15::9:8:8", rx.port, interface="lo") as other:
            nothing_more(rx, other)
        nothing_more(rx, tx)


def test_wire_inherited_by_a_fork_is_refused_there() -> None:
    with Wire("lo") as wire, LOOPBACK.sender(5000) as tx:
        tx.send_many([b"x"] * 100)

        def look() -> None:
            with pytest.raises(UnsupportedError, match="belong to the process that opened them"):
                next(wire.looks(Limits(), lambda: False))

        assert in_child(look) == 0
        looks = wire.looks(Limits(), lambda: False)
        waiting.until(lambda: next(looks) is None and wire.totals().received == 100, "all datagrams")


@pytest.mark.parametrize("limits", [Limits(), Limits(duration=0.0)], ids=["interrupted", "duration"])
def test_wire_that_ends_has_counted_what_had_arrived(limits: Limits) -> None:
    with Wire("lo") as wire, LOOPBACK.sender(5000) as tx:
        for count in range(1, 20):
            tx.send(b"x")
            # It ends at once, while the kernel still keeps the packet back.
            for _ in wire.looks(limits, lambda: True):
                pass
            assert wire.totals().received == count


def test_packet_receiver_closed_during_a_wait_ends_it() -> None:
    with LOOPBACK.receiver(engine="packet") as rx:
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                rx.recv()
            except ClosedError as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        until_in_poll(f"/proc/self/task/{thread.native_id}")
        rx.close()
        thread.join(PATIENCE)
        assert len(ended) == 1


def test_packet_receiver_in_an_event_loop_receives_all() -> None:
    async def receive() -> list[bytes]:
        async with aio.Receiver("239.9.8.7", 0, interface="lo", engine="packet") as rx:
            async with aio.Sender("239.9.8.7", rx.port, interface="lo") as tx:
                await tx.send_many([bytes([number]) for number in range(200)])
            return [(await rx.recv(timeout=PATIENCE)).data for _ in range(200)]

    assert asyncio.run(receive()) == [bytes([number]) for number in range(200)]


@pytest.mark.parametrize("group", GROUPS)
def test_packet_receiver_gets_what_this_machine_sends_from_a_new_address(group: str) -> None:
    address = "192.0.2.77" if "." in group else "2001:db8::77"
    with (
        Receiver(group, 0, interface="veth0", engine="packet") as rx,
        Sender(group, rx.port, interface="veth0") as tx,
    ):
        nothing_more(rx, tx)
        faults.sh(f"ip addr add {address} dev veth0 {'' if '.' in group else 'nodad'}")
        try:
            waiting.until(
                lambda: faults.looked(rx) and rx.stats().interface_events > 0, "the address", PATIENCE
            )
            send_from(address, "veth0", group, rx.port, b"new")
            datagram = rx.recv(timeout=PATIENCE)
            assert (datagram.data, datagram.sender[0]) == (b"new", address)
        finally:
            faults.sh(f"ip addr del {address}/{32 if '.' in group else 128} dev veth0")


@pytest.mark.parametrize("engine", ["socket", "packet"])
@pytest.mark.parametrize(("group", "returned"), [(GROUPS[0], False), (GROUPS[1], True)])
def test_receiver_of_what_the_network_brings_back_gets_what_the_kernel_delivers(
    group: str, returned: bool, engine: Literal["socket", "packet"]
) -> None:
    # Packets that veth0 sends arrive by veth1. The kernel discards IPv4 packets that come from an address of its own.
    expected = {("lo", "lo"), ("veth0", "veth0")}
    if returned:
        expected.add(("veth0", "veth1"))
    with Receiver(group, 0, interface=["lo", "veth0", "veth1"], engine=engine) as rx:
        for interface in ("veth0", "lo"):
            with Sender(group, rx.port, interface=interface) as tx:
                tx.send(interface.encode())
        received = [rx.recv(timeout=PATIENCE) for _ in expected]
        assert {(msg.data.decode(), msg.interface or "") for msg in received} == expected
        with Sender(group, rx.port, interface="lo") as tx:
            nothing_more(rx, tx)


def test_packet_receiver_closed_by_a_forked_process_still_receives() -> None:
    with (
        Receiver(GROUPS[0], 0, interface="veth0", engine="packet") as rx,
        Sender(GROUPS[0], rx.port, interface="veth0") as tx,
    ):
        assert in_child(rx.close) == 0
        nothing_more(rx, tx)


@pytest.mark.parametrize("group", GROUPS)
def test_packet_receiver_loses_nothing_this_machine_sends_while_addresses_change(group: str) -> None:
    count = 20_000
    length, options = (32, "") if "." in group else (128, "nodad")
    # Otherwise IPv6 may send from the new address before the receiver knows it.
    home = ("192.0.2.2" if "." in group else "2001:db8::2", 0)
    address = f"{'192.0.2.78' if '.' in group else '2001:db8::78'}/{length} dev veth0"

    def change(ended: threading.Event) -> None:
        while not ended.is_set():
            faults.sh(f"ip addr add {address} {options}; ip addr del {address}")

    with (
        Receiver(group, 0, interface="veth0", engine="packet") as rx,
        Sender(group, rx.port, interface="veth0", local=home, rate=count, gso=False) as tx,
        running(change),
        running(lambda _: tx.send_many([b"%d" % number for number in range(count)])),
    ):
        received: list[bytes] = []
        while len(received) + (rx.stats().kernel_drops or 0) < count:
            received += rx.recv_batch(timeout=PATIENCE).payloads()
        assert len(set(received)) == len(received)
        assert rx.stats().filtered == 0


def send_from(address: str, interface: str, group: str, port: int, data: bytes) -> None:
    """Send one datagram from an address of this machine through an interface."""
    index = socket.if_nametoindex(interface)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as plain:
        plain.bind((address, 0))
        if family == socket.AF_INET:
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))
        else:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        plain.sendto(data, (group, port))


@contextlib.contextmanager
def from_h1(
    hosts: list[Host], group: str, port: int, interface: str = faults.INTERFACE
) -> Generator[Sender, None, None]:
    """Open a sender on the first host."""
    with places.on(hosts[0]):
        tx = Sender(group, port, interface=interface)
    with tx:
        yield tx


@pytest.mark.parametrize("group", GROUPS)
def test_packet_receiver_interface_made_again_is_healed(
    hosts: list[Host], interface: str, group: str
) -> None:
    with Receiver(group, 0, interface=interface, engine="packet") as rx:
        with from_h1(hosts, group, rx.port) as tx:
            nothing_more(rx, tx)
        faults.unplug()
        faults.plug_in()
        waiting.until(
            lambda: faults.looked(rx) and faults.joined_on(rx) == [socket.if_nametoindex(interface)],
            "the receiver to join again",
            PATIENCE,
        )
        with from_h1(hosts, group, rx.port) as tx:
            nothing_more(rx, tx)


@pytest.mark.parametrize("group", GROUPS)
def test_packet_receiver_fragmented_datagrams_arrive_whole(
    hosts: list[Host], interface: str, group: str
) -> None:
    messages = [bytes([number]) * (1400 + 1300 * number) for number in range(40)]
    with Receiver(group, 0, interface=interface, engine="packet") as rx, from_h1(hosts, group, rx.port) as tx:
        for message in messages:
            tx.send(message)
        received = [rx.recv(timeout=PATIENCE) for _ in messages]
        assert [datagram.data for datagram in received] == messages
        assert {datagram.interface for datagram in received} == {interface}
        assert (rx.stats().invalid, rx.stats().unassembled) == (0, 0)


def test_packet_receiver_wrong_checksum_is_counted_and_not_delivered(
    hosts: list[Host], interface: str
) -> None:
    with (
        Receiver("239.9.8.7", 0, interface=interface, engine="packet") as rx,
        raw_from(hosts[0], interface) as raw,
    ):
        for message in (
            Wrapping("10.9.0.2", "239.9.8.7", rx.port, b"wrong", udp_error=1),
            Wrapping("10.9.0.2", "239.9.8.7", rx.port, b"right"),
        ):
            (frame,) = message.frames()
            raw.send(frame)
        assert rx.recv(timeout=PATIENCE).data == b"right"
        stats = rx.stats()
        assert (stats.received, stats.invalid) == (1, 1)


@pytest.mark.parametrize("only", [True, False], ids=["source", "exclude"])
@pytest.mark.parametrize("group", ["232.9.8.7", "ff35::9:8:7"])
def test_packet_receiver_sources_are_respected(
    hosts: list[Host], interface: str, group: str, only: bool
) -> None:
    group = group if only else group.replace("232", "239").replace("ff35", "ff15")
    first, second = ("10.9.0.2", "10.9.0.3") if "." in group else ("fd09::2", "fd09::3")
    faults.sh(f"ip -n h1 addr add {second} dev {interface} {'' if '.' in group else 'nodad'}")
    options: dict[str, Any] = {"source": first} if only else {"exclude": second}
    with Receiver(group, 0, interface=interface, engine="packet", **options) as rx:
        for address in (second, first):
            with places.on(hosts[0]):
                send_from(address, interface, group, rx.port, address.encode())
        datagram = rx.recv(timeout=PATIENCE)
        assert (datagram.data.decode(), datagram.sender[0]) == (first, first)
        assert (rx.stats().received, rx.stats().filtered) == (1, 1)


def test_packet_receiver_of_many_groups_on_two_interfaces_gets_each(
    hosts: list[Host], interface: str
) -> None:
    groups = [f"239.9.{number // 200}.{number % 200}" for number in range(1000)]
    with Receiver(groups, 0, interface=["lo", interface], engine="packet") as rx:
        for group in (groups[0], groups[499], groups[-1]):
            for place in ("lo", interface):
                with contextlib.ExitStack() as stack:
                    if place == "lo":
                        tx = stack.enter_context(Sender(group, rx.port, interface="lo"))
                    else:
                        tx = stack.enter_context(from_h1(hosts, group, rx.port))
                    tx.send(b"x")
                datagram = rx.recv(timeout=PATIENCE)
                assert (datagram.group, datagram.interface) == (group, place)
        rx.leave(groups[499], "lo")
        with (
            Sender(groups[499], rx.port, interface="lo") as left,
            Sender(groups[0], rx.port, interface="lo") as kept,
        ):
            left.send(b"left")
            nothing_more(rx, kept)


def test_packet_endpoint_of_asyncio_exchanges_datagrams() -> None:
    async def main() -> None:
        transport, protocol = await aio.create_datagram_endpoint(
            Recorder, (LOOPBACK.group, 0), interface=LOOPBACK.interface, engine="packet", packet_delay=0.001
        )
        port = int(transport.get_extra_info("sockname")[1])
        with LOOPBACK.sender(port) as tx, LOOPBACK.receiver(port) as rx:
            tx.send_many([b"%d" % number for number in range(100)])
            await protocol.until(100)
            assert protocol.payloads == [b"%d" % number for number in range(100)]
            transport.sendto(b"from the transport", (LOOPBACK.group, port))
            assert b"from the transport" in {rx.recv(timeout=PATIENCE).data for _ in range(101)}
        transport.close()
        await protocol.until(1, "connection_lost")

    asyncio.run(main())
