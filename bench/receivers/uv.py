"""uvloop: the same protocol on the loop of uvloop."""

import uvloop

from bench.receivers.base import Reader
from bench.receivers.loops import Protocol


def receiver(group: str, port: int) -> Reader:
    """Return a protocol on the loop of uvloop."""
    return Protocol(uvloop.new_event_loop(), group, port)
