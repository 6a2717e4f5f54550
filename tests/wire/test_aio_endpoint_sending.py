"""Test how `multicast.aio.create_datagram_endpoint` sends. Each test also runs on asyncio's own endpoint."""

import errno
import socket
from typing import Any

import pytest

from tests.support import loops
from tests.wire.endpoints import SENDS_EMPTY, Create, Recorder, Side, bound, closed_port, reluctant

pytestmark = pytest.mark.platform("linux", "darwin")


def test_endpoint_unbound_socket_is_bound_by_sending(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        transport, protocol = await create(Recorder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        transport.sendto(b"question", peer.getsockname())
        data, address = peer.recvfrom(100)
        peer.sendto(b"answer", ("127.0.0.1", address[1]))
        assert data == b"question"
        assert await protocol.until(1) == [(b"answer", peer.getsockname())]
        transport.close()

    assert side.run(main) == []


def test_endpoint_sendto_accepts_bytes_like_data(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        transport, _ = await create(Recorder, bound())
        for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")):
            assert transport.sendto(data, peer.getsockname()) is None
            assert peer.recv(100) == bytes(data)
        for wrong in ("text", 7, None, [1]):
            name = type(wrong).__name__
            with pytest.raises(TypeError, match=f"^data argument must be a bytes-like object, not '{name}'$"):
                transport.sendto(wrong, peer.getsockname())
        transport.close()

    assert side.run(main) == []


def test_endpoint_sendto_empty_data_follows_the_python_version(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        transport, _ = await create(Recorder, bound())
        transport.sendto(b"", peer.getsockname())
        transport.sendto(b"mark", peer.getsockname())
        assert [peer.recv(100) for _ in range(1 + SENDS_EMPTY)] == [b""] * SENDS_EMPTY + [b"mark"]
        transport.close()

    assert side.run(main) == []


def test_endpoint_connected_ignores_the_address(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        sock = bound()
        sock.connect(peer.getsockname())
        transport, protocol = await create(Recorder, sock)
        for address in (None, peer.getsockname(), closed_port()):
            transport.sendto(b"x", address)
            assert peer.recv(100) == b"x"
        peer.sendto(b"back", transport.get_extra_info("sockname"))
        assert await protocol.until(1) == [(b"back", peer.getsockname())]
        transport.close()

    assert side.run(main) == []


def test_endpoint_sendto_without_address_is_a_fatal_error(side: Side) -> None:
    async def main(create: Create) -> None:
        transport, protocol = await create(Recorder, bound())
        transport.sendto(b"x")
        assert transport.is_closing()
        assert protocol.of("connection_lost") == []
        [error] = await protocol.until(1, "connection_lost")
        assert isinstance(error, TypeError)
        seen.extend([transport, protocol, error])

    seen: list[Any] = []
    [report] = side.run(main)
    assert report["message"] == "Fatal write error on datagram transport"
    assert [report[key] for key in ("transport", "protocol", "exception")] == seen


def test_endpoint_refused_send_is_received_as_an_error(side: Side) -> None:
    async def main(create: Create) -> None:
        sock = bound()
        sock.connect(closed_port())
        transport, protocol = await create(Recorder, sock)
        transport.sendto(b"x")
        [error] = await protocol.until(1, "error_received")
        assert (type(error), error.errno) == (ConnectionRefusedError, errno.ECONNREFUSED)
        assert not transport.is_closing()
        transport.close()
        assert await protocol.until(1, "connection_lost") == [None]

    assert side.run(main) == []


def test_endpoint_send_that_is_too_long_is_an_error_and_not_the_end(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        transport, protocol = await create(Recorder, bound())
        transport.sendto(bytes(65_508), peer.getsockname())
        [error] = protocol.of("error_received")
        assert error.errno == errno.EMSGSIZE
        transport.sendto(b"fits", peer.getsockname())
        assert peer.recv(100) == b"fits"
        transport.close()

    assert side.run(main) == []


def test_endpoint_full_kernel_buffer_pauses_and_resumes_the_protocol(side: Side, peer: socket.socket) -> None:
    header = 8 * SENDS_EMPTY

    async def main(create: Create) -> None:
        sock = reluctant()
        transport, protocol = await create(Recorder, sock)
        transport.set_write_buffer_limits(high=100, low=40)
        assert transport.get_write_buffer_limits() == (40, 100)
        sock.full = True
        data = bytearray(b"a" * 50)
        for _ in range(2):
            transport.sendto(data, peer.getsockname())
        # The buffer has a copy.
        data[:] = b"b" * 50
        assert transport.get_write_buffer_size() == 100 + 2 * header
        assert len(protocol.of("pause_writing")) == bool(header)
        transport.sendto(data, peer.getsockname())
        assert transport.get_write_buffer_size() == 150 + 3 * header
        await loops.turns()
        assert [name for name, _ in protocol.calls[1:]] == ["pause_writing"]
        sock.full = False
        await protocol.until(1, "resume_writing")
        assert transport.get_write_buffer_size() == 0 or SENDS_EMPTY
        assert [peer.recv(100) for _ in range(3)] == [b"a" * 50] * 2 + [b"b" * 50]
        transport.close()

    assert side.run(main) == []


def test_endpoint_close_sends_what_is_buffered(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        sock = reluctant()
        transport, protocol = await create(Recorder, sock)
        sock.full = True
        transport.sendto(b"one", peer.getsockname())
        transport.sendto(b"two", peer.getsockname())
        transport.close()
        await loops.turns()
        assert protocol.of("connection_lost") == []
        sock.full = False
        assert await protocol.until(1, "connection_lost") == [None]
        assert [peer.recv(100), peer.recv(100)] == [b"one", b"two"]

    assert side.run(main) == []


def test_endpoint_abort_drops_what_is_buffered(side: Side, peer: socket.socket) -> None:
    async def main(create: Create) -> None:
        sock = reluctant()
        transport, protocol = await create(Recorder, sock)
        sock.full = True
        transport.sendto(b"one", peer.getsockname())
        transport.close()
        transport.abort()
        sock.full = False
        assert await protocol.until(1, "connection_lost") == [None]
        with bound() as other:
            other.sendto(b"mark", peer.getsockname())
        assert peer.recv(100) == b"mark"

    assert side.run(main) == []


def test_endpoint_write_buffer_limits_are_those_of_asyncio(side: Side) -> None:
    async def main(create: Create) -> None:
        transport, _ = await create(Recorder, bound())
        assert transport.get_write_buffer_limits() == (16_384, 65_536)
        for arguments, limits in (
            ({"high": 1000}, (250, 1000)),
            ({"low": 10}, (10, 40)),
            ({"high": 0}, (0, 0)),
            ({"high": 5, "low": 5}, (5, 5)),
            ({}, (16_384, 65_536)),
        ):
            transport.set_write_buffer_limits(**arguments)
            assert transport.get_write_buffer_limits() == limits
        for wrong in ({"high": 1, "low": 2}, {"high": -1}):
            with pytest.raises(ValueError, match=r"^high \(-?1\) must be >= low \(.*\) must be >= 0$"):
                transport.set_write_buffer_limits(**wrong)
        transport.close()

    assert side.run(main) == []


def test_endpoint_exception_of_pause_writing_is_reported(side: Side, peer: socket.socket) -> None:
    class Failing(Recorder):
        def pause_writing(self) -> None:
            raise ValueError("pause")

        def resume_writing(self) -> None:
            super().resume_writing()
            raise ValueError("resume")

    async def main(create: Create) -> None:
        sock = reluctant()
        transport, protocol = await create(Failing, sock)
        # asyncio of Python 3.13.0 counts 8 bytes of a datagram that was sent.
        transport.set_write_buffer_limits(high=8, low=8)
        sock.full = True
        transport.sendto(b"longer than the limits", peer.getsockname())
        sock.full = False
        await protocol.until(1, "resume_writing")
        transport.close()
        seen.extend([transport, protocol])

    seen: list[Any] = []
    reports = side.run(main)
    assert [(report["message"], str(report["exception"])) for report in reports] == [
        ("protocol.pause_writing() failed", "pause"),
        ("protocol.resume_writing() failed", "resume"),
    ]
    assert all([report["transport"], report["protocol"]] == seen for report in reports)
