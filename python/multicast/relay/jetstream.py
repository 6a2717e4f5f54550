"""The messages of a JetStream consumer, which a relay pulls."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .places import NatsPlace

    Attempt = Callable[[], Awaitable[Any]]

_API = "$JS.API.CONSUMER.MSG.NEXT"
# Messages in a request, and how many are left of it when the next one follows, so that the server never waits for it.
# A message has at most 64 KiB, so all of them fit into the 64 MiB that a subscription may hold.
_REQUEST = 500
_LOW = 250
# Seconds until the server ends a request, which a relay that stops waits for.
_EXPIRES = 1.0
# Seconds without a word from the server after which a request is lost.
_LOST = 3.0
_NOTHING_LEFT = ("404", "408")
_HEARTBEAT = "100"


class Consumer:
    """Take and acknowledge the messages of a durable consumer, which is created if it does not exist.

    It pulls messages, so that the server sends none after the last request has ended. A message that the server sends
    while a subscription ends is lost with it, even if nats-py drains it: the server repeats that message only after 30
    seconds, out of order.

    Args:
        place: the subject and the name of the consumer.
        client: the connection, from nats-py.
        take: called with each message.
        insist: repeats what it is given until that succeeds.
    """

    def __init__(
        self,
        place: NatsPlace,
        client: Any,
        take: Callable[[Any], Awaitable[None]],
        insist: Callable[[Attempt, str], Awaitable[Any]],
    ) -> None:
        self._place, self._client, self._deliver, self._insist = place, client, take, insist
        self._inbox = client.new_inbox()
        self._subscription: Any = None
        # Where to send requests; empty while the consumer is looked for.
        self._request = ""
        # Messages that the server may still send without another request.
        self._left = 0
        self._heard = 0.0
        self._is_ending = False
        self._has_ended = asyncio.Event()

    async def subscribe(self, **limits: int) -> None:
        """Begin to take messages. Raise an error of nats-py or `LookupError` if that is not possible yet."""
        await self._find()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._take, **limits)
        await self._ask()

    async def drain(self) -> None:
        """Take what was requested, and no more."""
        self._is_ending = True
        await self._ask()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._has_ended.wait(), 2 * _EXPIRES)
        await self._subscription.drain()

    async def look_after(self) -> None:
        """Send another request if the server has forgotten the last one, because it or the connection was lost."""
        if self._request and monotonic() >= self._heard + _LOST:
            self._left = 0
            await self._ask()

    async def _find(self) -> None:
        """Find the consumer, or create it."""
        # A module with complete types does not exist, and nats-py is only imported if it is used.
        not_found: type[Exception] = importlib.import_module("nats.js.errors").NotFoundError
        stream = self._client.jetstream()
        name = self._place.durable
        try:
            store = await stream.find_stream_name_by_subject(self._place.subject)
        except not_found as error:
            raise LookupError("no stream stores this subject (create one)") from error
        try:
            found = await stream.consumer_info(store, name)
        except not_found:
            found = await stream.add_consumer(store, durable_name=name, filter_subject=self._place.subject)
        if found.config.deliver_subject is not None:
            raise LookupError(
                f"the consumer {name} is not a pull consumer (delete it, or choose another name)"
            )
        self._request = f"{_API}.{store}.{name}"

    async def _take(self, message: Any) -> None:
        """Take a message, or the server's word that a request has ended."""
        self._heard = monotonic()
        headers: dict[str, str] = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self._left -= 1
            await self._deliver(message)
            await message.ack()
        elif status in _NOTHING_LEFT:
            self._left -= int(headers.get("Nats-Pending-Messages", self._left))
        elif status != _HEARTBEAT:
            # The consumer was deleted, or another server is responsible for it, for example.
            self._left, self._request = 0, ""
            await self._insist(
                self._find, f"the consumer ended: {status} {headers.get('Description', '')}".rstrip()
            )
        await self._ask()

    async def _ask(self) -> None:
        """Request messages unless enough are on their way or this ends."""
        if self._is_ending:
            if self._left <= 0:
                self._has_ended.set()
            return
        if self._left > _LOW or not self._request:
            return
        self._heard = monotonic()
        self._left += _REQUEST
        request = {"batch": _REQUEST, "expires": int(_EXPIRES * 1e9)}
        await self._client.publish(self._request, json.dumps(request).encode(), self._inbox)
