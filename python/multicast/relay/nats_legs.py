"""Inputs and outputs of a relay on NATS. The package nats-py is imported when a relay uses them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import secrets
import struct
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .envelope import OVERHEAD, pack
from .jetstream import Consumer
from .legs import BATCH, Input, Output
from .places import without_password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from .legs import Deliver
    from .memory import Memory
    from .places import NatsPlace

_logger = logging.getLogger("multicast")

_LENGTH = struct.Struct("!I")
_MAX_BUNDLE = 64 * 1024
_PENDING_BYTES = 64 * 1024 * 1024
_PAUSE = 1.0
# Bytes in the buffer of the connection beyond which nothing is added.
_MAX_UNSENT = 1 << 20
_CLOSE_SECONDS = 2.0
_DRAIN_SECONDS = 3.0
_SECONDS_BETWEEN_LOGS = 5.0


class Connection:
    """A connection to a NATS server, which is made and made again in the background.

    Args:
        server: the address of the server, with a user and password or token if it needs them.
        options: more options of ``nats.connect``.

    Raises:
        ImportError: nats-py is not installed.
        ValueError: ``nats.connect`` has no such option.

    Attributes:
        unreached: the server without its password until it is reached, then the places that no subscription has
            reached yet; each with the latest error, or "" if there was none.
    """

    def __init__(self, server: str, options: Mapping[str, Any]) -> None:
        try:
            self._nats = importlib.import_module("nats")
        except ImportError as error:
            raise ImportError(
                "cannot use NATS: the package nats-py is missing (pip install 'multicast[relay]')"
            ) from error
        self._server = server
        self.unreached = {without_password(server): ""}
        self._options = options
        self._subscriptions: list[tuple[NatsPlace, Callable[[Any], Coroutine[Any, Any, None]]]] = []
        self._active: list[tuple[NatsPlace, Any]] = []
        self._logged: dict[str, float] = {}
        self._is_closing = self._was_connected = self._has_begun = False
        self._has_connected = False
        self.client: Any = self._new_client()
        unknown = options.keys() - inspect.signature(self.client.connect).parameters.keys()
        if unknown:
            raise ValueError(f"nats must have only options of nats.connect, got {min(unknown)!r}")

    @property
    def is_connected(self) -> bool:
        """Whether the server can be reached now, or could be when the relay ended."""
        return self._was_connected if self._is_closing else bool(self.client.is_connected)

    def subscribe(self, place: NatsPlace, take: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Let `run` subscribe: ``take`` is called with each message."""
        self._subscriptions.append((place, take))

    async def run(self) -> None:
        """Connect and subscribe, and again whenever nats-py gives up, until this is cancelled."""
        while True:
            closed = asyncio.Event()
            await self._open(closed)
            while not closed.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(closed.wait(), _PAUSE)
                await self._look_after_consumers()
            # The server has refused something that is no reason to give up for long, such as one connection too many.
            await asyncio.sleep(_PAUSE)
            self.client = self._new_client()

    def _new_client(self) -> Any:
        """Return a client that says nothing without TLS if the address or the options require TLS.

        nats-py encrypts only if the server requires it, and otherwise sends even a password as it is.
        """
        client: Any = self._nats.NATS()
        if not (self._server.startswith("tls://") or self._options.get("tls")):
            return client
        # nats-py makes its first command when it has the greeting of the server.
        name = "_connect_command"
        make_command = getattr(client, name)

        def make_command_over_tls() -> bytes:
            transport = self._transport()
            if transport is None or transport.get_extra_info("ssl_object") is None:
                raise self._nats.errors.Error("the server does not require TLS, but this relay does")
            return cast("bytes", make_command())

        setattr(client, name, make_command_over_tls)
        return client

    async def stop_receiving(self) -> None:
        """End the subscriptions after what the server has sent so far. `run` must have ended."""
        if self.client.is_connected:
            await asyncio.gather(*(self._drain(place, one) for place, one in self._active))

    async def _drain(self, place: NatsPlace, subscription: Any) -> None:
        try:
            await asyncio.wait_for(subscription.drain(), _DRAIN_SECONDS)
        except Exception as error:  # noqa: BLE001 - as in `NatsOutput`
            self._log(f"cannot end the subscription to {place}: {str(error) or type(error).__name__}")

    async def close(self) -> None:
        """Send what is in the buffers, and close."""
        self._was_connected = self.is_connected
        self._is_closing = True
        if not self._has_begun:
            # nats-py cannot close what it has not begun to connect.
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._flush_and_close(), _CLOSE_SECONDS)
        # Bytes that the server does not take would keep the socket open. nats-py has no call that drops them.
        transport = self._transport()
        if transport is not None:
            transport.abort()
            # The event loop closes the socket in its next round.
            await asyncio.sleep(0)

    @property
    def has_room(self) -> bool:
        """Whether the server takes what is sent. nats-py waits for it, but in vain with Python 3.12 and 3.13.

        There, the ``writelines`` of asyncio's transport adds to its buffer without a limit.
        """
        transport = self._transport()
        return transport is None or transport.get_write_buffer_size() < _MAX_UNSENT

    def _transport(self) -> asyncio.WriteTransport | None:
        """Return the connection of nats-py, which has no name for it; None if there is none or it is a web socket."""
        writer = getattr(getattr(self.client, "_transport", None), "_io_writer", None)
        return None if writer is None else cast("asyncio.WriteTransport", writer.transport)

    async def _flush_and_close(self) -> None:
        if self._was_connected:
            with contextlib.suppress(asyncio.TimeoutError):
                await self.client.flush(timeout=1)
        await self.client.close()

    async def _open(self, closed: asyncio.Event) -> None:
        """Connect, and try again until it succeeds."""

        async def note_end() -> None:
            closed.set()

        options: dict[str, Any] = {
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 1,
            # A network that carries nothing is noticed after 15 seconds. The defaults of nats-py need six minutes.
            "ping_interval": 5,
            "max_outstanding_pings": 2,
            "no_echo": True,
            "error_cb": self._note_error,
            "disconnected_cb": self._note_loss,
            "reconnected_cb": self._note_return,
            **self._options,
            "closed_cb": note_end,
            "servers": [self._server],
        }
        self._has_begun = True
        try:
            await self.client.connect(**options)
        except ImportError as error:
            self._has_begun = False
            text = f"cannot use an option of NATS: {error} (pip install 'multicast[relay]')"
            raise ImportError(text) from error
        except Exception:
            # It tries again if the server cannot be reached, so an option is wrong.
            self._has_begun = False
            raise
        if not self._has_connected:
            self._has_connected = True
            self.unreached = {str(place): "" for place, _ in self._subscriptions}
        self._active.clear()
        for place, take in self._subscriptions:
            await self._subscribe(place, take)

    async def _subscribe(self, place: NatsPlace, take: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Subscribe, and try again until it succeeds: JetStream may have no stream for the subject yet."""
        limits = {"pending_msgs_limit": -1, "pending_bytes_limit": _PENDING_BYTES}

        async def subscribe() -> Any:
            if place.durable is None:
                return await self.client.subscribe(place.subject, cb=take, **limits)
            found = Consumer(place, self.client, take, partial(self._insist, place))
            await found.subscribe(**limits)
            return found

        found = await self._insist(place, subscribe)
        if found is not None:
            self.unreached.pop(str(place), None)
            self._active.append((place, found))

    async def _insist(self, place: NatsPlace, attempt: Callable[[], Awaitable[Any]], reason: str = "") -> Any:
        """Try until it succeeds, and return the result; None if the connection ends."""
        while not self.client.is_closed:
            if reason:
                if str(place) in self.unreached:
                    self.unreached[str(place)] = reason
                self._log(f"cannot receive from {place}: {reason}")
                await asyncio.sleep(_PAUSE)
            try:
                return await attempt()
            except Exception as error:  # noqa: BLE001 - as in `NatsOutput`
                reason = str(error) or type(error).__name__
        return None

    async def _note_error(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if not self._has_connected:
            self.unreached = dict.fromkeys(self.unreached, reason)
        self._log(reason)

    def _log(self, text: str) -> None:
        """Log a warning, unless it was logged a moment ago: a slow consumer is reported for each message."""
        if monotonic() >= self._logged.get(text, -_SECONDS_BETWEEN_LOGS) + _SECONDS_BETWEEN_LOGS:
            self._logged[text] = monotonic()
            _logger.warning("NATS: %s", text)

    async def _note_loss(self) -> None:
        if not self._is_closing:
            _logger.warning("NATS: the connection is lost")

    async def _note_return(self) -> None:
        _logger.warning("NATS: connected again")

    async def _look_after_consumers(self) -> None:
        for place, one in self._active:
            if isinstance(one, Consumer) and self.client.is_connected:
                try:
                    await one.look_after()
                except Exception as error:  # noqa: BLE001 - as in `NatsOutput`
                    self._log(f"cannot receive from {place}: {error}")


class NatsInput(Input):
    """Envelopes that other relays publish on a subject."""

    def __init__(self, place: NatsPlace, connection: Connection, memory: Memory, own: set[int]) -> None:
        super().__init__()
        self._place, self._connection, self._memory, self._own = place, connection, memory, own

    async def run(self, deliver: Deliver) -> None:
        """Receive, and deliver what is to be sent on, until it is cancelled."""

        async def take(message: Any) -> None:
            deliver(self.open_envelopes(_split(message.data), self._own, self._memory))

        self._connection.subscribe(self._place, take)
        await asyncio.Event().wait()


class NatsOutput(Output):
    """Envelopes on a subject, several in a message if they wait."""

    def __init__(self, place: NatsPlace, buffer: int, connection: Connection) -> None:
        super().__init__(buffer)
        self.number = secrets.randbits(64)
        self._sequence = 0
        self._place, self._connection = place, connection

    async def send_some(self) -> None:
        """Send a message of what waits, unless the server cannot be reached."""
        if not self._connection.is_connected:
            await asyncio.sleep(0.05)
            return
        if not self._connection.has_room:
            await asyncio.sleep(0.005)
            return
        if not self._sequence:
            # Before the first datagram, so that its loss is noticed.
            await self.repeat_number()
        most = self._connection.client.max_payload
        parts: list[bytes] = []
        for one in self.take(BATCH, min(most, _MAX_BUNDLE) - BATCH * _LENGTH.size):
            if len(one.data) + OVERHEAD + _LENGTH.size > most:
                self.too_long += 1
                continue
            envelope = pack(one, self.number, self._sequence + len(parts) // 2 + 1)
            parts += (_LENGTH.pack(len(envelope)), envelope)
        if parts:
            await self._publish(parts, len(parts) // 2)

    async def repeat_number(self) -> None:
        """Send the latest number, so that other relays notice what is missing."""
        if self._connection.is_connected:
            envelope = pack(None, self.number, self._sequence)
            await self._publish([_LENGTH.pack(len(envelope)), envelope], 0)

    async def _publish(self, parts: list[bytes], count: int) -> None:
        """Publish a message with this many datagrams."""
        try:
            await self._connection.client.publish(self._place.subject, b"".join(parts))
        except Exception as error:  # noqa: BLE001 - nats-py raises many classes, which have only Exception in common
            # Their numbers are used again, so that the other relay does not miss them.
            self.complain(error, count)
        else:
            self._sequence += count
            self.sent += count


def _split(message: bytes) -> list[bytes]:
    """Return the envelopes in a message. The rest at its end, if it is damaged, counts as one."""
    found: list[bytes] = []
    at = 0
    while at < len(message):
        end = at + _LENGTH.size
        length = _LENGTH.unpack_from(message, at)[0] if end <= len(message) else len(message)
        found.append(message[end : end + length])
        at = end + length
    return found
