"""Send numbered datagrams at a steady rate, each with the time of its sending."""

from __future__ import annotations

import dataclasses
import secrets
import time
from typing import TYPE_CHECKING

from .numbered import HEADER, MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..sync import Sender

# Seconds: the longest time before `has_ended` is called again, and the most datagrams that are caught up at once.
_TICK = 0.05
_BURST = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Numbered datagrams to send."""

    rate: float
    """Datagrams per second, above 0."""
    size: int = HEADER.size
    """Bytes of each, at least 24."""
    count: int | None = None
    """How many; None sends until it is ended."""
    duration: float | None = None
    """Seconds to send; None sends until it is ended."""


def send_numbered(tx: Sender, plan: Plan, has_ended: Callable[[], bool] = lambda: False) -> int:
    """Send the datagrams of a plan, and return how many were sent.

    The time in a datagram is taken just before it is handed to the kernel, so the sender must not have a rate of its
    own. After a delay, at most 256 datagrams are sent at once.

    Args:
        tx: the sender.
        plan: the datagrams.
        has_ended: called at least every 0.05 s; if it returns true, the rest is not sent.

    Raises:
        ValueError: The size is less than 24 bytes, or the rate is not above 0.
        OSError: The system refused to send.
    """
    if plan.size < HEADER.size:
        raise ValueError(f"size must be at least {HEADER.size} bytes, got {plan.size}")
    if not plan.rate > 0:
        raise ValueError(f"rate must be above 0, got {plan.rate}")
    run, sent = secrets.randbits(32), 0
    filler = bytes(plan.size - HEADER.size)
    begun = time.monotonic()
    while not has_ended() and sent != plan.count:
        elapsed = time.monotonic() - begun
        if plan.duration is not None and elapsed >= plan.duration:
            break
        due = min(int(elapsed * plan.rate) + 1 - sent, _BURST)
        if plan.count is not None:
            due = min(due, plan.count - sent)
        if due > 0:
            now = time.time_ns()
            tx.send_many([HEADER.pack(MAGIC, run, sent + number, now) + filler for number in range(due)])
            sent += due
        else:
            time.sleep(min(max(0.0, sent / plan.rate - elapsed), _TICK))
    return sent
