"""Send generated datagrams at a steady rate, and go on when the interface was away for a time."""

from __future__ import annotations

import dataclasses
import errno
import secrets
import time
from typing import TYPE_CHECKING

from .numbered import HEADER, MAGIC
from .patterns import filling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..sync import Sender
    from .patterns import Pattern

# Seconds: the longest time before `has_ended` is called again, and the most datagrams that are caught up at once.
_TICK = 0.05
_BURST = 256
# Errors of an interface that is down, gone or without an address: it may come back.
_AWAY = {
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENODEV,
    errno.ENXIO,
    errno.EADDRNOTAVAIL,
}


class LastingSender:
    """Send datagrams, and continue after the interface was down or gone for a time.

    The first datagram must be sent: an error before it is a mistake, such as a wrong interface.

    Attributes:
        failed: the number of datagrams that could not be sent because the interface was away.

    Args:
        tx: the sender.
        on_change: called with the error when the interface goes away, and with None when a datagram is sent again.
    """

    def __init__(self, tx: Sender, on_change: Callable[[OSError | None], None]) -> None:
        self.failed = 0
        self._tx, self._on_change = tx, on_change
        self._passed = 0
        self._is_away = False

    def send_many(self, payloads: Sequence[bytes]) -> int:
        """Send datagrams, and return how many of them were sent.

        Raises:
            OSError: Nothing has been sent yet, or the system refused for another reason.
        """
        try:
            self._tx.send_many(payloads)
        except OSError as error:
            sent = self._tx.stats().sent
            if not sent or error.errno not in _AWAY:
                raise
            self._passed += len(payloads)
            failed = self._passed - sent - self.failed
            self.failed += failed
            if not self._is_away:
                self._is_away = True
                self._on_change(error)
            return len(payloads) - failed
        self._passed += len(payloads)
        if self._is_away:
            self._is_away = False
            self._on_change(None)
        return len(payloads)


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


def send_generated(
    tx: Sender | LastingSender, plan: Plan, has_ended: Callable[[], bool] = lambda: False
) -> int:
    """Send the datagrams of a plan, and return how many were handed to the sender.

    The time in a datagram is taken just before it is handed to the kernel, so the sender must not have a rate of its
    own. After a delay, at most 256 datagrams are sent at once. A number that a lasting sender could not send is not
    used again, so that receivers see the loss.

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
