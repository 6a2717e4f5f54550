"""uvloop: the same protocol on its loop."""

import uvloop

from bench.receivers.base import Reader
from bench.receivers.loops import Protocol


def receiver(group: str, port: int) -> Reader:
    """A datagram protocol on `uvloop`."""
    return Protocol(uvloop.new_event_loop(), group, port)
