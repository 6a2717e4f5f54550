"""Test `multicast.aio.create_datagram_endpoint`. Each test also runs on asyncio's own endpoint."""

import asyncio
import gc
import socket
import sys
import warnings
from typing import Any

import pytest

from tests.support import loops, private_network
from tests.wire.endpoints import Create, Recorder, Side, bound

pytestmark = pytest.mark.platform("linux", "darwin")


def test_endpoint_calls_connection_made_before_the_first_datagram(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        sock = bound()
        peer.sendto(b"early", sock.getsockname())
        transport, protocol = await create(Recorder, sock)
        assert protocol.calls[0] == ("connection_made", transport)
        assert await protocol.until(1) == [(b"early", peer.getsockname())]
        transport.close()

    assert side.run(main) == []


def test_endpoint_gives_addresses_as_recvfrom_does(side: Side, family: socket.AddressFamily) -> None:
    async def main(create: Create) -> None:
        with bound(family) as sender:
            transport, protocol = await create(Recorder, bound(family))
            sender.sendto(b"x", transport.get_extra_info("sockname"))
            [(data, address)] = await protocol.until(1)
            assert (data, address) == (b"x", sender.getsockname())
            assert [type(part) for part in address] == [str, int, int, int][: len(address)]
            transport.close()

    assert side.run(main) == []


@pytest.mark.private_net
def test_endpoint_gives_the_scope_of_a_link_local_sender(side: Side) -> None:
    private_network.need()
    index = socket.if_nametoindex("veth0")

    async def main(create: Create) -> None:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind(("ff02::1:5", 0, 0, index))
        sock.setsockopt(
            socket.IPPROTO_IPV6,
            socket.IPV6_JOIN_GROUP,
            socket.inet_pton(socket.AF_INET6, "ff02::1:5") + index.to_bytes(4, sys.byteorder),
        )
        transport, protocol = await create(Recorder, sock)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("ff02::1:5", sock.getsockname()[1], 0, index))
            [(data, address)] = await protocol.until(1)
            assert (data, address[0][:6], address[1:]) == (
                b"x", "fe80::", (sender.getsockname()[1], 0, index)
            )  # fmt: skip
            assert "%" not in address[0]
        transport.close()

    assert side.run(main) == []


def test_endpoint_get_extra_info_describes_the_socket(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        for connected in (False, True):
            sock = bound()
            if connected:
                sock.connect(peer.getsockname())
            name, descriptor = sock.getsockname(), sock.fileno()
            transport, _ = await create(Recorder, sock)
            assert transport.get_extra_info("sockname") == name
            assert transport.get_extra_info("peername") == (peer.getsockname() if connected else None)
            assert transport.get_extra_info("nothing", 7) == 7
            inner = transport.get_extra_info("socket")
            assert (inner.fileno(), inner.getsockname(), inner.family) == (descriptor, name, socket.AF_INET)
            transport.close()

    assert side.run(main) == []


def test_endpoint_receives_empty_datagrams(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        transport, protocol = await create(Recorder, bound())
        for data in (b"", b"x", b""):
            peer.sendto(data, transport.get_extra_info("sockname"))
        await protocol.until(3)
        assert protocol.payloads == [b"", b"x", b""]
        transport.close()

    assert side.run(main) == []


def test_endpoint_close_calls_connection_lost_in_the_next_turn(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        sock = bound()
        transport, protocol = await create(Recorder, sock)
        assert (transport.is_closing(), transport.get_protocol()) == (False, protocol)
        peer.sendto(b"too late", sock.getsockname())
        transport.close()
        transport.close()
        assert transport.is_closing()
        transport.sendto(b"before the end", peer.getsockname())
        assert peer.recv(100) == b"before the end"
        assert [name for name, _ in protocol.calls] == ["connection_made"]
        await loops.turns()
        assert protocol.calls[1:] == [("connection_lost", None)]
        assert (sock.fileno(), transport.get_protocol(), transport.is_closing()) == (-1, None, True)
        transport.close()
        transport.abort()
        await loops.turns()
        assert len(protocol.calls) == 2

    assert side.run(main) == []


@pytest.mark.parametrize("how", ["close", "abort"])
def test_endpoint_end_inside_datagram_received_delivers_no_more(
    side: Side, peer: socket.socket, how: str
) -> None:
    class Closing(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            getattr(self.transport, how)()

    async def main(create: Create) -> None:
        transport, protocol = await create(Closing, bound())
        for data in (b"one", b"two", b"three"):
            peer.sendto(data, transport.get_extra_info("sockname"))
        assert await protocol.until(1, "connection_lost") == [None]
        await loops.turns()
        assert protocol.payloads == [b"one"]

    assert side.run(main) == []


def test_endpoint_exception_of_the_protocol_is_reported_and_nothing_is_lost(
    side: Side, peer: socket.socket
) -> None:
    class Failing(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data in (b"1", b"3"):
                raise ValueError(data)

    async def main(create: Create) -> None:
        transport, protocol = await create(Failing, bound())
        for number in range(6):
            peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        await protocol.until(6)
        assert protocol.payloads == [b"%d" % number for number in range(6)]
        assert not transport.is_closing()
        transport.close()

    reports = side.run(main)
    assert [str(report["exception"]) for report in reports] == ["b'1'", "b'3'"]
    assert all(report["message"].startswith("Exception in callback") for report in reports)


def test_endpoint_exception_of_connection_made_is_reported(side: Side, peer: socket.socket) -> None:
    class Failing(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise ValueError("made")

    async def main(create: Create) -> None:
        transport, protocol = await create(Failing, bound())
        peer.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.until(1)
        transport.close()

    assert [str(report["exception"]) for report in side.run(main)] == ["made"]


def test_endpoint_exception_of_connection_lost_still_closes_the_socket(side: Side) -> None:
    class Failing(Recorder):
        def connection_lost(self, exc: Exception | None) -> None:
            raise ValueError("lost")

    async def main(create: Create) -> None:
        sock = bound()
        transport, _ = await create(Failing, sock)
        transport.close()
        await loops.turns()
        assert sock.fileno() == -1

    assert [str(report["exception"]) for report in side.run(main)] == ["lost"]


def test_endpoint_set_protocol_takes_effect_with_the_next_datagram(side: Side, peer: socket.socket) -> None:
    class Switching(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.set_protocol(seconds[0])

    async def main(create: Create) -> None:
        second = Recorder()
        seconds.append(second)
        transport, first = await create(Switching, bound())
        for data in (b"one", b"two", b"three"):
            peer.sendto(data, transport.get_extra_info("sockname"))
        await second.until(2)
        assert (first.payloads, second.payloads) == ([b"one"], [b"two", b"three"])
        assert transport.get_protocol() is second
        transport.close()
        await second.until(1, "connection_lost")
        assert first.of("connection_lost") == []

    seconds: list[Recorder] = []
    assert side.run(main) == []


def test_endpoint_pause_reading_holds_datagrams_until_resumed(side: Side, peer: socket.socket) -> None:
    class Pausing(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"1":
                self.transport.pause_reading()

    async def main(create: Create) -> None:
        transport, protocol = await create(Pausing, bound())
        for number in range(5):
            peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        await protocol.until(2)
        await loops.turns()
        assert protocol.payloads == [b"0", b"1"]
        assert not transport.is_reading()
        transport.pause_reading()
        transport.resume_reading()
        transport.resume_reading()
        await protocol.until(5)
        assert protocol.payloads == [b"%d" % number for number in range(5)]
        assert transport.is_reading()
        transport.pause_reading()
        transport.close()
        assert not transport.is_reading()
        transport.resume_reading()
        await protocol.until(1, "connection_lost")
        assert len(protocol.payloads) == 5

    assert side.run(main) == []


def test_endpoint_burst_arrives_whole_and_in_order(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        transport, protocol = await create(Recorder, bound())
        expected = [b"%d" % number for number in range(1000)]
        for start in range(0, 1000, 100):
            for data in expected[start : start + 100]:
                peer.sendto(data, transport.get_extra_info("sockname"))
            await protocol.until(start + 100)
        assert protocol.payloads == expected
        transport.close()

    assert side.run(main) == []


def test_endpoint_forgotten_warns_and_closes_its_socket(side: Side) -> None:
    async def main(create: Create) -> None:
        socks.append(bound())
        await create(asyncio.DatagramProtocol, socks[0])

    socks: list[socket.socket] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        side.run(main)
        gc.collect()
    assert [str(one.message).split()[:2] for one in caught if one.category is ResourceWarning] == [
        ["unclosed", "transport"]
    ]
    assert socks[0].fileno() == -1


def test_endpoint_factory_that_raises_leaves_the_socket_open(side: Side) -> None:
    def factory() -> Any:
        raise ValueError("factory")

    async def main(create: Create) -> None:
        with bound() as sock:
            with pytest.raises(ValueError, match=r"^factory$"):
                await create(factory, sock)
            assert sock.fileno() >= 0

    assert side.run(main) == []


def test_endpoint_stream_socket_raises_value_error(side: Side) -> None:
    async def main(create: Create) -> None:
        with socket.socket() as stream, pytest.raises(ValueError, match=r"(UDP|datagram) [Ss]ocket"):
            await create(Recorder, stream)

    assert side.run(main) == []
