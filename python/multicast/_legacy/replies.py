"""The policy for the default handler's answers: to which senders, how often, and with what text.

Anybody can forge a sender address, and each forged datagram would make the listener send one to a victim. The handler
therefore answers single hosts only, at a limited rate, and never answers an answer.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Answers per second, and in a burst after silence. People and health checks stay far below this.
RATE = 100.0
BURST = 100.0

_OPENING = "HEAR [ "


class TokenBucket:
    """A rate limit of ``rate`` events per second, with bursts of ``burst``. Safe to use from any thread.

    Args:
        rate: events per second, above 0.
        burst: events allowed at once after silence, from 1.
        clock: a function that returns monotonic seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._updated = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Return whether one more event is allowed now, and count it if so."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
            self._updated = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def may_answer(text: str, sender: tuple[str, int]) -> bool:
    """Return whether a datagram with ``text`` from ``sender`` (host, port) may be answered.

    It may not if the sender is a group, a broadcast address, an unspecified address, no address at all, or port 0:
    genuine datagrams come from none of these. Nor may an answer be answered, or two listeners would never stop. The
    broadcast address of a subnet looks like a host; there the system refuses to send.
    """
    host, port = sender[:2]
    return port != 0 and _is_host(host) and not text.startswith(_OPENING)


def answer(text: str, sender: tuple[str, int], me: tuple[str, int]) -> str:
    """Return the answer to ``text`` from ``sender``, sent from ``me``; both are (host, port)."""
    return f"{_OPENING}{text.upper()} SAID {format_address(sender)} ] from {format_address(me)}"


def format_address(address: tuple[str, int]) -> str:
    """Return ``address`` (host, port) as text, with brackets around an IPv6 host."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_host(host: str) -> bool:
    if ":" in host:
        return host != "::" and host[:2].lower() != "ff"
    try:
        first = socket.inet_pton(socket.AF_INET, host)[0]
    except OSError:
        return False
    # RFC 1122 section 3.2.1.3: 0 is "this network"; from 224 up are groups, reserved addresses and 255.255.255.255.
    return 0 < first < 224
