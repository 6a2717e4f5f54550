"""Test `multicast.aio.create_datagram_endpoint` on groups: what it receives, how it sends, and that it yields."""

import asyncio
import itertools
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver, Sender
from tests.support import loops, private_network
from tests.support.hosts import Host
from tests.wire import faults
from tests.wire.endpoints import Recorder
from tests.wire.exchange import LOOPBACK, PATIENCE, Link

pytestmark = pytest.mark.platform("linux", "darwin")


@asynccontextmanager
async def opened(*arguments: Any, factory: Any = Recorder, **options: Any) -> AsyncGenerator[Any, None]:
    """Open an endpoint, and wait at the end until it is closed."""
    transport, protocol = await aio.create_datagram_endpoint(factory, *arguments, **options)
    assert protocol.transport is transport
    try:
        yield protocol
    finally:
        transport.close()
        await protocol.until(1, "connection_lost")


def port_of(protocol: Any) -> int:
    return int(protocol.transport.get_extra_info("sockname")[1])


@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_endpoint_on_a_group_exchanges_datagrams(kind: str, link: Link) -> None:
    async def main() -> None:
        async with opened((link.group, 0), interface=link.interface) as protocol:
            port = port_of(protocol)
            with link.sender(port) as tx:
                tx.send_many([b"%d" % number for number in range(300)])
                await protocol.until(300)
                assert protocol.payloads == [b"%d" % number for number in range(300)]
            with link.receiver(port) as rx:
                protocol.transport.sendto(b"from the transport", (link.group, port))
                msg = rx.recv(timeout=PATIENCE)
                assert (msg.data, msg.sender[1]) == (b"from the transport", port)
                index = rx.groups[0].interface_index
                assert msg.interface_index == index
            [*_, (_, address)] = await protocol.until(301)
            assert len(address) == (4 if ":" in link.group else 2)

    loops.run(loops.KINDS[kind], main())


def test_aio_endpoint_on_several_groups_receives_only_these() -> None:
    private_network.need()

    async def main() -> None:
        groups = ["239.9.8.7", "239.9.8.8"]
        with Receiver("239.9.8.7", 0, interface="veth0") as rx:
            port = rx.port
        async with opened([(group, port) for group in groups], interface="veth0") as protocol:
            for group in ("239.9.8.9", *groups):
                with Sender(group, port, interface="veth0") as tx:
                    tx.send(group.encode())
            await protocol.until(2)
            assert protocol.payloads == [group.encode() for group in groups]

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize("options", [{}, {"ring": 1000}, {"gro": False}], ids=str)
def test_aio_endpoint_with_options_of_a_receiver_loses_nothing(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with opened((LOOPBACK.group, 0), interface=LOOPBACK.interface, **options) as protocol:
            with LOOPBACK.sender(port_of(protocol)) as tx:
                tx.send_many([b"%d" % number for number in range(500)])
            await protocol.until(500)
            assert protocol.payloads == [b"%d" % number for number in range(500)]

    loops.run(loops.KINDS["asyncio"], main())


def test_aio_endpoint_rejoins_a_recreated_interface(interface: str, hosts: list[Host]) -> None:
    async def main() -> None:
        async with opened("239.9.8.7:5060", interface=interface) as protocol:
            faults.sh(f"ip link del {interface}")
            faults.plug_in()
            while not protocol.payloads:
                hosts[0].run(sys.executable, "-c", SEND)
                await asyncio.sleep(0.05)

    loops.run(loops.KINDS["asyncio"], main())


SEND = f"""
import multicast
with multicast.Sender("239.9.8.7:5060", interface="{faults.INTERFACE}") as tx: tx.send(b"x")
"""


def test_aio_endpoint_factory_that_raises_closes_the_receiver() -> None:
    def factory() -> asyncio.DatagramProtocol:
        raise ValueError("factory")

    async def main() -> None:
        with pytest.raises(ValueError, match=r"^factory$"):
            await aio.create_datagram_endpoint(factory, (LOOPBACK.group, 0), interface=LOOPBACK.interface)

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((), {}, ValueError, "^either endpoint or sock must be given$"),
        (("239.1.2.3:5000",), {"sock": 7}, ValueError, "^either endpoint or sock must be given$"),
        ((), {"sock": 7}, TypeError, "^sock must be a socket, got int$"),
        (("239.1.2.3",), {}, ValueError, "^no port is given"),
        (("10.0.0.1:5000",), {}, ValueError, "10.0.0.1"),
        (("239.1.2.3:5000",), {"iface": "lo"}, TypeError, "did you mean 'interface'"),
        (("239.1.2.3:5000",), {"timestamps": True}, TypeError, "^a protocol gets no timestamps"),
        (("239.1.2.3:5000",), {"receive_ttl": True}, TypeError, "^a protocol gets no receive_ttl"),
    ],
    ids=str,
)
def test_aio_endpoint_wrong_arguments_are_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    async def main() -> None:
        with pytest.raises(error, match=message):
            await aio.create_datagram_endpoint(Recorder, *arguments, **options)

    loops.run(loops.KINDS["asyncio"], main())


def test_aio_endpoint_sock_with_an_option_is_refused() -> None:
    async def main() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            pytest.raises(ValueError, match="interface must not be given with sock"),
        ):
            await aio.create_datagram_endpoint(Recorder, sock=sock, interface="lo")

    loops.run(loops.KINDS["asyncio"], main())


# A packet receiver has no socket to detach.
@pytest.mark.udp_sockets
def test_aio_endpoint_on_a_detached_receiver_receives_its_group() -> None:
    async def main() -> None:
        rx = Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface)
        port = rx.port
        async with opened(sock=socket.socket(fileno=rx.detach())) as protocol:
            with LOOPBACK.sender(port) as tx:
                tx.send_many([b"one", b"two"])
            await protocol.until(2)
            assert protocol.payloads == [b"one", b"two"]

    loops.run(loops.KINDS["asyncio"], main())


def test_aio_endpoint_receive_error_that_is_no_os_error_is_fatal() -> None:
    class Broken:
        def read(self, limit: int) -> None:
            raise MemoryError

        def close(self) -> None:
            pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reports: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        transport, protocol = await aio.create_datagram_endpoint(
            Recorder, (LOOPBACK.group, 0), interface=LOOPBACK.interface
        )
        transport._reader = Broken()  # type: ignore[attr-defined]
        with LOOPBACK.sender(port_of(protocol)) as tx:
            tx.send(b"x")
        [error] = await protocol.until(1, "connection_lost")
        assert isinstance(error, MemoryError)
        [report] = reports
        assert report["message"] == "Fatal read error on datagram transport"
        assert (report["exception"], report["transport"]) == (error, transport)

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_endpoint_slow_protocol_leaves_turns_to_other_tasks(kind: str) -> None:
    class Slow(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            # A clock would measure the other programs of this machine too.
            sum(range(20_000))
            super().datagram_received(data, addr)

    async def main() -> None:
        async with opened((LOOPBACK.group, 0), interface=LOOPBACK.interface, factory=Slow) as protocol:
            with LOOPBACK.sender(port_of(protocol)) as tx:
                tx.send_many([b"x"] * 400)
            at_a_turn: list[int] = []
            while len(protocol.payloads) < 400:
                await asyncio.sleep(0)
                at_a_turn.append(len(protocol.payloads))
            steps = [after - before for before, after in itertools.pairwise(at_a_turn)]
            assert max(steps) < 100

    loops.run(loops.KINDS[kind], main())
