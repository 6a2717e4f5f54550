"""Whom the default handler answers, how often, and with what. Nothing is sent here.

A listener that answers is a tool for whoever forges sender addresses: each forged datagram makes it send one to a
victim. So it answers single hosts only, at a bounded rate, and never an answer.
"""

from __future__ import annotations

import socket
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Answers a second, and how many may follow at once on a silence. A person or a health check never gets there.
RATE = 100.0
BURST = 100.0

_OPENING = "HEAR [ "


class TokenBucket:
    """Allows ``burst`` events at once and ``rate`` a second in the long run. Any thread may ask.

    Args:
        rate: events a second, above 0.
        burst: events after a silence, from 1.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._asked = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Tell whether one more event is allowed now, and count it if it is."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._asked) * self._rate)
            self._asked = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def may_answer(text: str, sender: tuple[str, int]) -> bool:
    """Tell whether a message ``text`` of ``sender`` (host, port) may be answered at all.

    Not where the sender is a group, broadcast, unspecified or no address, nor at port 0: none of these is where a
    datagram comes from. Not where the text is an answer itself, so that two listeners do not talk for ever. The
    broadcast address of a subnet cannot be told from a host's; there the system refuses to send.
    """
    host, port = sender[:2]
    return port != 0 and _is_host(host) and not text.startswith(_OPENING)


def answer(text: str, sender: tuple[str, int], me: tuple[str, int]) -> str:
    """Return the answer to ``text`` of ``sender`` from ``me``, each (host, port)."""
    return f"{_OPENING}{text.upper()} SAID {format_address(sender)} ] from {format_address(me)}"


def format_address(address: tuple[str, int]) -> str:
    """Return ``address`` (host, port) as text."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_host(host: str) -> bool:
    if ":" in host:
        return host != "::" and host[:2].lower() != "ff"
    try:
        first = socket.inet_pton(socket.AF_INET, host)[0]
    except OSError:
        return False
    # RFC 1122 section 3.2.1.3: 0 is "this network"; 224 and up are groups, reserved, and 255.255.255.255.
    return 0 < first < 224
