"""The envelope that carries a datagram between two relays, and the account of those that arrive.

An envelope is, in network byte order: ``MCR1``; the IP version, 4 or 6 (1 byte); the TTL, 0 if it is unknown (1 byte);
the ports of the group and of the sender (2 bytes each); the receive time in nanoseconds since the Unix epoch, 0 if it
is unknown (8 bytes); the number of the relay (8 bytes) and of the datagram on this leg, from 1 (8 bytes); the addresses
of the group and of the sender (4 or 16 bytes each). The payload follows. An envelope with port 0 and no payload carries
no datagram: it repeats the latest number, so that a loss at the end of a stream is noticed.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import NamedTuple

MAGIC = b"MCR1"
_HEADER = struct.Struct("!4sBBHHqQQ")
_SIZES = {4: 4, 6: 16}
OVERHEAD = _HEADER.size + 2 * 16
"""The most bytes that an envelope adds to a payload."""


class Carried(NamedTuple):
    """A datagram on its way through a relay."""

    data: bytes
    """The payload."""
    group: str
    """The group that it was sent to."""
    port: int
    """The port that it was sent to."""
    sender: tuple[str, int]
    """The address and port of its sender."""
    ttl: int
    """The hops that it had left when it was received; 0 if that is unknown."""
    timestamp_ns: int
    """When it was received first, in nanoseconds since the Unix epoch; 0 if that is unknown."""


class Opened(NamedTuple):
    """An envelope that was received."""

    relay: int
    """The number of the relay that made it."""
    sequence: int
    """The number of the datagram on its leg, from 1."""
    carried: Carried | None
    """The datagram; None if the envelope only repeats the latest number."""


def pack(carried: Carried | None, relay: int, sequence: int) -> bytes:
    """Return an envelope."""
    if carried is None:
        return _HEADER.pack(MAGIC, 4, 0, 0, 0, 0, relay, sequence) + bytes(8)
    group, sender = (_packed(address) for address in (carried.group, carried.sender[0]))
    head = _HEADER.pack(
        MAGIC,
        4 if len(group) == 4 else 6,
        carried.ttl,
        carried.port,
        carried.sender[1],
        carried.timestamp_ns,
        relay,
        sequence,
    )
    return b"".join((head, group, sender, carried.data))


def unpack(data: bytes) -> Opened:
    """Return the contents of an envelope.

    Raises:
        ValueError: It is not an envelope.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise ValueError(f"not an envelope of a relay: {data[:8]!r}")
    _, version, ttl, port, sender_port, timestamp_ns, relay, sequence = _HEADER.unpack_from(data)
    size = _SIZES.get(version, 0)
    end = _HEADER.size + 2 * size
    if not size or len(data) < end:
        raise ValueError(f"an envelope of IP version {version} with {len(data)} bytes")
    if port == 0:
        return Opened(relay, sequence, None)
    group = _text(data[_HEADER.size : _HEADER.size + size])
    sender = _text(data[_HEADER.size + size : end])
    return Opened(relay, sequence, Carried(data[end:], group, port, (sender, sender_port), ttl, timestamp_ns))


def _packed(address: str, known: dict[str, bytes] = {}) -> bytes:  # noqa: B006 - a cache
    found = known.get(address)
    if found is None:
        if len(known) >= 4096:
            known.clear()
        found = known[address] = ipaddress.ip_address(address.partition("%")[0]).packed
    return found


def _text(packed: bytes, known: dict[bytes, str] = {}) -> str:  # noqa: B006 - a cache
    found = known.get(packed)
    if found is None:
        if len(known) >= 4096:
            known.clear()
        found = known[packed] = str(ipaddress.ip_address(packed))
    return found


@dataclass(slots=True)
class _Leg:
    """The envelopes of one relay: the next number, and those that are missing."""

    expected: int
    missing: set[int]
    noted: int = 0
    """How many envelopes the account had noted when this relay's latest one arrived."""


class Account:
    """Counts the envelopes that were lost on the way, for each relay that sends them.

    Numbers start at 1 when a relay starts, and this account starts with the first number that it sees.
    """

    # Numbers that can still arrive late: of a single relay, and of each of many.
    _MOST_MISSING = 65536
    _FEW_MISSING = 1024
    # Relays that are remembered. Beyond that, the one that has been silent longest is forgotten: a flood of forged
    # numbers must not fill the memory.
    _MOST_LEGS = 256

    def __init__(self) -> None:
        self._legs: dict[int, _Leg] = {}
        self._given_up = 0
        self._noted = 0

    @property
    def lost(self) -> int:
        """Datagrams that were sent to this relay and have not arrived."""
        return self._given_up + sum(len(leg.missing) for leg in self._legs.values())

    def note(self, opened: Opened) -> bool:
        """Note an envelope. Return whether it is new, and not a copy of an earlier one."""
        # One that carries nothing repeats the latest number.
        number = opened.sequence if opened.carried is not None else opened.sequence + 1
        leg = self._legs.get(opened.relay)
        if leg is None:
            self._make_room()
            leg = self._legs[opened.relay] = _Leg(number, set())
        self._noted += 1
        leg.noted = self._noted
        if number > leg.expected:
            self._skip(leg, number)
        if opened.carried is None:
            return False
        if number == leg.expected:
            leg.expected += 1
            return True
        if number in leg.missing:
            leg.missing.remove(number)
            return True
        return False

    def _make_room(self) -> None:
        if len(self._legs) >= self._MOST_LEGS:
            silent = min(self._legs, key=lambda relay: self._legs[relay].noted)
            self._given_up += len(self._legs.pop(silent).missing)

    def _skip(self, leg: _Leg, number: int) -> None:
        most = max(self._MOST_MISSING // len(self._legs), self._FEW_MISSING)
        first = max(leg.expected, number - most)
        self._given_up += first - leg.expected
        leg.missing.update(range(first, number))
        if len(leg.missing) > most:
            oldest = sorted(leg.missing)[: -most // 2]
            self._given_up += len(oldest)
            leg.missing.difference_update(oldest)
        leg.expected = number
