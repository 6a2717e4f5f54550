"""`multicast.aio.create_datagram_endpoint`: the counting protocol of the event loops, on our transport."""

import asyncio

from bench.receivers.base import Reader
from bench.receivers.loops import Protocol
from multicast import aio


class Endpoint(Protocol):
    """The protocol on a group that is joined without options."""

    async def connect(self, group: str, port: int) -> None:
        await aio.create_datagram_endpoint(lambda: self, f"{group}:{port}", interface="lo")


def plain(group: str, port: int) -> Reader:
    """Return the protocol on the loop of the standard library."""
    return Endpoint(asyncio.new_event_loop(), group, port)
