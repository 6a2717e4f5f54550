"""The transport of `create_datagram_endpoint`: reads in batches, and otherwise does what asyncio's own transport does.

Its methods and callbacks are those of ``asyncio.DatagramTransport`` over a selector event loop, including those that
asyncio does not document: ``pause_reading`` and its companions.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from asyncio.trsock import TransportSocket
from collections import deque
from itertools import islice
from operator import length_hint
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .. import _core, sync
from .endpoint import SLICE
from .watch import Watch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

# The logger of asyncio's transports.
_logger = logging.getLogger("asyncio")

_BATCH = 64
"""The most datagrams to read at once."""

_HIGH_WATER = 64 * 1024
"""Bytes in the write buffer above which the protocol is paused, unless it sets another limit."""

# Since Python 3.13, asyncio sends empty datagrams, and counts the header of a buffered one.
_SENDS_EMPTY = sys.version_info >= (3, 13)
_HEADER = 8 if _SENDS_EMPTY else 0


class DatagramTransport(asyncio.DatagramTransport):
    """Connects a protocol with a socket.

    Args:
        loop: The running event loop.
        sock: The socket to send on, which does not block. The transport closes it.
        protocol: The protocol to call.
        source: The receiver or the socket to read.
        opened: Gets a result after `connection_made` was called.
    """

    # For `__del__` of a transport whose construction failed.
    _sock: socket.socket | None = None

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        source: sync.Receiver | socket.socket,
        opened: asyncio.Future[None],
    ) -> None:
        super().__init__(
            {
                "socket": TransportSocket(sock),
                "sockname": _name(sock.getsockname),
                "peername": _name(sock.getpeername),
            }
        )
        self._loop = loop
        self._protocol: asyncio.BaseProtocol | None = protocol
        self._source = source
        self._reader = _reader(source)
        self._descriptor = source.fileno()
        self._connected = self.get_extra_info("peername") is not None
        self._readable = Watch(loop, writing=False, strong=True)
        self._writable = Watch(loop, writing=True, strong=True)
        self._sock = sock
        # Received and not yet delivered.
        self._payloads: Iterator[bytes] = iter(())
        self._rest: Iterator[tuple[bytes, Any]] = iter(())
        # Whether the last read left something, which the descriptor need not report.
        self._more = False
        # Whether a call that delivers all this is scheduled.
        self._scheduled = False
        # Set by whatever changes how the next datagram is delivered.
        self._interrupted = False
        self._paused = False
        self._closing = False
        self._lost = False
        self._unsent: deque[tuple[bytes, Any]] = deque()
        self._unsent_bytes = 0
        self._writing_paused = False
        self._low = self._high = 0
        self._set_limits(None, None)
        loop.call_soon(protocol.connection_made, self)
        # The protocol gets no datagram before that.
        loop.call_soon(self._watch_readable)
        loop.call_soon(_set_result, opened)

    def __repr__(self) -> str:
        """Return the state and the socket."""
        state = "closed" if self._sock is None else "closing" if self._closing else "open"
        return f"<multicast.aio {type(self).__name__} {state} sockname={self.get_extra_info('sockname')}>"

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        """Warn as a socket does, and close the socket."""
        if self._sock is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._release(self._sock)

    # Protocol and state.

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol; None after `connection_lost`."""
        return cast("asyncio.BaseProtocol", self._protocol)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Call another protocol from now on."""
        self._protocol = protocol
        self._interrupted = True

    def is_closing(self) -> bool:
        """Return whether it is closed or about to be."""
        return self._closing

    def close(self) -> None:
        """Stop reading, send what is buffered, then call `connection_lost`."""
        if self._closing:
            return
        self._stop_reading()
        if not self._unsent:
            self._schedule_loss(None)

    def abort(self) -> None:
        """Close without sending what is buffered."""
        self._force_close(None)

    # Reading.

    def is_reading(self) -> bool:
        """Return whether the protocol gets datagrams."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Deliver no datagram until `resume_reading` is called."""
        if self.is_reading():
            self._paused = self._interrupted = True
            self._readable.stop()

    def resume_reading(self) -> None:
        """Deliver datagrams again."""
        if self._closing or not self._paused:
            return
        self._paused = False
        self._watch_readable()
        self._schedule_rest()

    def _watch_readable(self) -> None:
        if self.is_reading():
            self._readable.start(self._descriptor, self._on_readable)

    def _schedule_rest(self) -> None:
        """Continue in the next turn of the loop if there is anything that the descriptor does not report."""
        if (self._more or length_hint(self._payloads)) and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver_rest)

    def _deliver_rest(self) -> None:
        self._scheduled = False
        self._deliver_slice()

    def _on_readable(self) -> None:
        # The scheduled call delivers the datagrams in hand, which are older.
        if not self._scheduled:
            self._deliver_slice()

    def _deliver_slice(self) -> None:
        """Deliver what is available, for a slice of time."""
        due, step = monotonic() + SLICE, 1
        self._more = True
        try:
            while self.is_reading():
                if length_hint(self._payloads):
                    self._deliver(step)
                    step *= 2
                    if monotonic() >= due:
                        break
                elif self._more:
                    self._more = self._read()
                else:
                    break
        finally:
            # This also runs if the protocol raised an exception, which the loop reports.
            if self.is_reading():
                self._watch_readable()
                self._schedule_rest()

    def _deliver(self, count: int) -> None:
        """Deliver some of the datagrams in hand."""
        self._interrupted = False
        received = cast("asyncio.DatagramProtocol", self._protocol).datagram_received
        for data, address in islice(self._rest, count):
            received(data, address)
            if self._interrupted:
                return

    def _read(self) -> bool:
        """Read a batch. Return whether there is more; the protocol gets an error."""
        try:
            payloads, addresses, drained = self._reader.read(_BATCH)
        except OSError as error:
            cast("asyncio.DatagramProtocol", self._protocol).error_received(error)
            return False
        except Exception as error:  # noqa: BLE001 - reported to the event loop
            self._fail(error, "Fatal read error on datagram transport")
            return False
        self._payloads = iter(payloads)
        self._rest = zip(self._payloads, addresses, strict=False)
        return not drained

    # Sending.

    def sendto(self, data: bytes | bytearray | memoryview[Any], addr: Any = None) -> None:
        """Send a datagram, or buffer it while the kernel's buffer is full.

        Errors of the system go to ``error_received`` of the protocol.

        Args:
            data: The payload. Before Python 3.13, an empty one is not sent.
            addr: The address, as the methods of `socket.socket` take it; without effect on a connected socket.

        Raises:
            TypeError: ``data`` is not bytes, a bytearray or a memoryview.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if not len(data) and not _SENDS_EMPTY:
            return
        if self._sock is None:
            _logger.warning("socket.send() raised exception.")
            return
        if not self._unsent and self._send(data, addr):
            return
        if not self._lost:
            # Ensure that what is buffered does not change.
            self._unsent.append((bytes(data), addr))
            self._unsent_bytes += len(data) + _HEADER
            self._pause_writing_if_full()

    def _send(self, data: bytes | bytearray | memoryview[Any], addr: Any) -> bool:
        """Send now. Return whether the datagram is dealt with, by success or by failure."""
        sock = cast("socket.socket", self._sock)
        try:
            if self._connected:
                sock.send(data)
            else:
                sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            self._writable.start(sock.fileno(), self._on_writable)
            return False
        except OSError as error:
            cast("asyncio.DatagramProtocol", self._protocol).error_received(error)
        except Exception as error:  # noqa: BLE001 - reported to the event loop
            self._fail(error, "Fatal write error on datagram transport")
        return True

    def _on_writable(self) -> None:
        while self._unsent:
            data, addr = self._unsent.popleft()
            self._unsent_bytes -= len(data) + _HEADER
            if not self._send(data, addr):
                self._unsent.appendleft((data, addr))
                self._unsent_bytes += len(data) + _HEADER
                break
        self._resume_writing_if_empty()
        if not self._unsent and not self._lost:
            self._writable.stop()
            if self._closing:
                self._lose_connection(None)

    # Flow control.

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are buffered."""
        return self._unsent_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the limits, the low one first."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the write buffer.

        Args:
            high: Call ``pause_writing`` of the protocol when more bytes than these are buffered. The default is four
                times ``low``, or 64 KiB.
            low: Call ``resume_writing`` when at most these are left. The default is a quarter of ``high``.

        Raises:
            ValueError: ``low`` is below 0 or above ``high``.
        """
        self._set_limits(high, low)
        self._pause_writing_if_full()

    def _set_limits(self, high: int | None, low: int | None) -> None:
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def _pause_writing_if_full(self) -> None:
        if self._unsent_bytes > self._high and not self._writing_paused:
            self._writing_paused = True
            self._call_protocol("pause_writing")

    def _resume_writing_if_empty(self) -> None:
        if self._writing_paused and self._unsent_bytes <= self._low:
            self._writing_paused = False
            self._call_protocol("resume_writing")

    def _call_protocol(self, name: str) -> None:
        try:
            getattr(self._protocol, name)()
        except Exception as error:  # noqa: BLE001 - reported to the event loop
            self._report(error, f"protocol.{name}() failed")

    # The end.

    def _fail(self, error: Exception, message: str) -> None:
        self._report(error, message)
        self._force_close(error)

    def _report(self, error: Exception, message: str) -> None:
        self._loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        )

    def _stop_reading(self) -> None:
        self._closing = self._interrupted = True
        self._readable.stop()

    def _force_close(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._unsent.clear()
        self._unsent_bytes = 0
        self._writable.stop()
        self._stop_reading()
        self._schedule_loss(error)

    def _schedule_loss(self, error: Exception | None) -> None:
        self._lost = True
        self._loop.call_soon(self._lose_connection, error)

    def _lose_connection(self, error: Exception | None) -> None:
        self._lost = True
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self._protocol = None
            sock, self._sock = self._sock, None
            if sock is not None:
                self._release(sock)

    def _release(self, sock: socket.socket) -> None:
        self._readable.close()
        self._writable.close()
        self._reader.close()
        self._source.close()
        sock.close()


def _reader(source: sync.Receiver | socket.socket) -> _core._EndpointReader:
    return _core._EndpointReader(source if isinstance(source, sync.Receiver) else source.fileno())


def _name(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except OSError:
        return None


def _set_result(opened: asyncio.Future[None]) -> None:
    if not opened.done():
        opened.set_result(None)
