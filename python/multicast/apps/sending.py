"""Send generated datagrams at a steady rate: numbered, with the time of their sending, or filled with a pattern."""

from __future__ import annotations

import dataclasses
import secrets
import time
from typing import TYPE_CHECKING

from .numbered import HEADER, MAGIC
from .patterns import filling

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..sync import Sender
    from .patterns import Pattern

# Seconds: the longest time before `has_ended` is called again, and the most datagrams that are caught up at once.
_TICK = 0.05
_BURST = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Datagrams to generate and send."""

    rate: float
    """Datagrams per second, above 0."""
    size: int = HEADER.size
    """Bytes of each: at least 1, or 24 if they are numbered."""
    count: int | None = None
    """How many; None sends until it is ended."""
    duration: float | None = None
    """Seconds to send; None sends until it is ended."""
    numbered: bool = True
    """Whether each begins with its number and the time of sending, as `numbered` describes."""
    pattern: Pattern = "zero"
    """The bytes of the payload, or of what follows the number: one of `patterns.PATTERNS`."""


def send_generated(tx: Sender, plan: Plan, has_ended: Callable[[], bool] = lambda: False) -> int:
    """Send the datagrams of a plan, and return how many were sent.

    The time in a datagram is taken just before it is handed to the kernel, so the sender must not have a rate of its
    own. After a delay, at most 256 datagrams are sent at once.

    Args:
        tx: the sender.
        plan: the datagrams.
        has_ended: called at least every 0.05 s; if it returns true, the rest is not sent.

    Raises:
        ValueError: The size is too small, the rate is not above 0, or there is no such pattern.
        OSError: The system refused to send.
    """
    least = HEADER.size if plan.numbered else 1
    if plan.size < least:
        raise ValueError(f"size must be at least {least} bytes, got {plan.size}")
    if not plan.rate > 0:
        raise ValueError(f"rate must be above 0, got {plan.rate}")
    run, sent = secrets.randbits(32), 0
    payload = filling(plan.pattern, plan.size - (HEADER.size if plan.numbered else 0))
    begun = time.monotonic()
    while not has_ended() and sent != plan.count:
        elapsed = time.monotonic() - begun
        if plan.duration is not None and elapsed >= plan.duration:
            break
        due = min(int(elapsed * plan.rate) + 1 - sent, _BURST)
        if plan.count is not None:
            due = min(due, plan.count - sent)
        if due <= 0:
            time.sleep(min(max(0.0, sent / plan.rate - elapsed), _TICK))
            continue
        payloads = [payload() for _ in range(due)]
        if plan.numbered:
            now = time.time_ns()
            payloads = [
                HEADER.pack(MAGIC, run, number, now) + rest
                for number, rest in enumerate(payloads, start=sent)
            ]
        tx.send_many(payloads)
        sent += due
    return sent
