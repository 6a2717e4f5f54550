"""The memory of a relay: which datagrams it has heard or sent lately, so that none goes round in a loop."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .envelope import Carried

WINDOW = 2.0
"""Seconds after which a datagram is forgotten."""

_MOST = 65536


class _Table:
    """Datagrams, each with its sender and with how many echoes of it can still come."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[str, int, float]] = OrderedDict()

    def find(self, key: int, now: float) -> tuple[str, int]:
        """Return the sender and the echoes of a datagram; no echoes if it is unknown or forgotten."""
        found = self._known.get(key)
        return ("", 0) if found is None or found[2] + WINDOW <= now else (found[0], found[1])

    def set(self, key: int, sender: str, echoes: int, now: float) -> None:
        """Remember a datagram."""
        self._known.pop(key, None)
        self._known[key] = (sender, echoes, now)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


class Memory:
    """Recognizes datagrams that come back.

    A datagram that another relay sends again has the same payload, and comes from the address of that relay. So one
    that is known from another sender is an echo. Each datagram that was heard or sent accounts for one echo, and what
    a sender repeats itself is never one.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard = _Table()
        self._sent = _Table()

    def is_echo(self, carried: Carried) -> bool:
        """Note a datagram that was heard from a group. Return whether another relay has sent it back."""
        now, key, sender = self._clock(), _key(carried), carried.sender[0]
        known, echoes = self._sent.find(key, now)
        if echoes:
            self._sent.set(key, known, echoes - 1, now)
            return True
        known, echoes = self._heard.find(key, now)
        if echoes and known != sender:
            self._heard.set(key, known, echoes - 1, now)
            return True
        self._heard.set(key, sender, echoes + 1, now)
        return False

    def was_heard(self, carried: Carried) -> bool:
        """Return whether a datagram that another relay has passed on was heard here as well."""
        now, key = self._clock(), _key(carried)
        known, echoes = self._heard.find(key, now)
        if not echoes or known != carried.sender[0]:
            return False
        self._heard.set(key, known, echoes - 1, now)
        return True

    def note_sent(self, carried: Carried) -> None:
        """Note a datagram that this relay sends to a group."""
        now, key = self._clock(), _key(carried)
        self._sent.set(key, carried.sender[0], self._sent.find(key, now)[1] + 1, now)


def _key(carried: Carried) -> int:
    return hash((carried.data, carried.group, carried.port))
