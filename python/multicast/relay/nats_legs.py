"""Inputs and outputs of a relay on NATS. The package nats-py is imported when a relay uses them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import secrets
import struct
from typing import TYPE_CHECKING, Any

from .envelope import OVERHEAD, pack
from .legs import BATCH, Input, Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .legs import Deliver
    from .memory import Memory
    from .places import NatsPlace

_logger = logging.getLogger("multicast")

_LENGTH = struct.Struct("!I")
_MAX_BUNDLE = 64 * 1024
_PENDING_BYTES = 64 * 1024 * 1024


class Connection:
    """A connection to a NATS server, which is made and made again in the background.

    Args:
        server: the address of the server, with a user and password or token if it needs them.
        options: more options of ``nats.connect``.

    Raises:
        ImportError: nats-py is not installed.
    """

    def __init__(self, server: str, options: Mapping[str, Any]) -> None:
        try:
            nats = importlib.import_module("nats")
        except ImportError as error:
            raise ImportError("a relay over NATS needs nats-py: pip install 'multicast[relay]'") from error
        self._server = server
        self._options = options
        self.client: Any = nats.NATS()
        self.own: set[int] = set()
        self.opened = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether the server can be reached now."""
        return bool(self.client.is_connected)

    async def open(self) -> None:
        """Connect, and try again until it succeeds."""
        await self.client.connect(
            **{
                "max_reconnect_attempts": -1,
                "reconnect_time_wait": 1,
                "no_echo": True,
                "error_cb": self._note_error,
                "disconnected_cb": self._note_loss,
                "reconnected_cb": self._note_return,
                **self._options,
                "servers": [self._server],
            }
        )
        self.opened.set()

    async def close(self) -> None:
        """Send what is in the buffers, and close."""
        if self.is_connected:
            with contextlib.suppress(asyncio.TimeoutError):
                await self.client.flush(timeout=1)
        await self.client.close()

    async def _note_error(self, error: Exception) -> None:
        _logger.warning("NATS: %s", str(error) or type(error).__name__)

    async def _note_loss(self) -> None:
        _logger.warning("NATS: the connection is lost")

    async def _note_return(self) -> None:
        _logger.warning("NATS: connected again")


class NatsInput(Input):
    """Envelopes that other relays publish on a subject."""

    def __init__(self, place: NatsPlace, connection: Connection, memory: Memory, own: set[int]) -> None:
        super().__init__()
        self._place, self._connection, self._memory, self._own = place, connection, memory, own

    async def run(self, deliver: Deliver) -> None:
        """Receive, and deliver what is to be sent on, until it is cancelled."""

        async def take(message: Any) -> None:
            deliver(self.open_envelopes(_split(message.data), self._own, self._memory))

        await self._connection.opened.wait()
        await self._connection.client.subscribe(
            self._place.subject, cb=take, pending_msgs_limit=-1, pending_bytes_limit=_PENDING_BYTES
        )
        await asyncio.Event().wait()


class NatsOutput(Output):
    """Envelopes on a subject, several in a message if they wait."""

    def __init__(self, place: NatsPlace, buffer: int, connection: Connection) -> None:
        super().__init__(buffer)
        self.number = secrets.randbits(64)
        self._sequence = 0
        self._place, self._connection = place, connection

    async def send_some(self) -> None:
        """Send some of what waits, unless the server cannot be reached."""
        client = self._connection.client
        if not self._connection.is_connected:
            await asyncio.sleep(0.05)
            return
        most = min(client.max_payload, 1 << 20)
        parts: list[bytes] = []
        size = 0
        for one in self.take(BATCH):
            needed = len(one.data) + OVERHEAD + _LENGTH.size
            if needed > most:
                self.too_long += 1
                continue
            if parts and size + needed > min(most, _MAX_BUNDLE):
                await self._publish(parts)
                parts, size = [], 0
            self._sequence += 1
            envelope = pack(one, self.number, self._sequence)
            parts += (_LENGTH.pack(len(envelope)), envelope)
            size += needed
        if parts:
            await self._publish(parts)

    async def repeat_number(self) -> None:
        """Send the latest number, so that other relays notice what is missing."""
        if self._sequence and self._connection.is_connected:
            envelope = pack(None, self.number, self._sequence)
            await self._publish([_LENGTH.pack(len(envelope)), envelope], counts=0)

    async def _publish(self, parts: list[bytes], counts: int | None = None) -> None:
        count = len(parts) // 2 if counts is None else counts
        try:
            await self._connection.client.publish(self._place.subject, b"".join(parts))
        except Exception as error:  # noqa: BLE001 - nats-py raises many classes, which have only Exception in common
            self.complain(error, count)
        else:
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
