"""The plain values that the modern face hands out.

Beside the stack: this module imports the standard library only.
"""

from __future__ import annotations

from typing import NamedTuple


class ReceiverStats(NamedTuple):
    """What became of the datagrams that reached a receiver.

    On a network that loses nothing, sent = ``received`` + ``kernel_drops`` + ``ring_drops`` + ``truncated`` +
    ``filtered``, once the kernel's buffer has been emptied.
    """

    received: int
    """Whole datagrams taken from the kernel and wanted, but for those that a ring dropped."""
    bytes: int
    """Their octets."""
    kernel_drops: int | None
    """Datagrams dropped by the kernel for want of buffer space; ``None`` where it does not count."""
    truncated: int
    """Datagrams delivered without their end, because they were longer than any may be."""
    filtered: int
    """Datagrams of groups, interfaces or sources that were not asked for."""
    buffer_asked: int | None
    """Octets of receive buffer asked for; ``None`` where none were."""
    buffer_granted: int
    """Octets of receive buffer granted by the system, of the smallest socket."""
    sockets: int
    """Sockets in use."""
    ring_drops: int
    """Datagrams dropped for want of room in the ring, and those left in it at closing; 0 without one."""
    ring_high_water: int
    """The most datagrams that were in the ring at once; 0 without one."""
    rejoins: int
    """Memberships that were joined anew, or on an interface that came later."""
    interface_events: int
    """Changes of the interfaces that groups are joined on: down, up, deleted, renumbered."""
    interrupted: float
    """Seconds during which some group had no working interface, as far as this was noticed."""


class SenderStats(NamedTuple):
    """What a sender did."""

    sent: int
    """Datagrams that the kernel took."""
    bytes: int
    """Their octets."""
    coalesced: int
    """Of the datagrams, how many were handed to the kernel together with others of the same size."""


class Membership(NamedTuple):
    """One joined group on one interface."""

    group: str
    """The group's address."""
    interface: int | None
    """Index of the interface; ``None`` where the system chose and does not tell which."""
    sources: tuple[str, ...]
    """The only senders wanted; empty where any is."""
    excluded: tuple[str, ...]
    """Senders that are not wanted."""


class Interface(NamedTuple):
    """One network interface of this machine."""

    name: str
    """The system's name for it."""
    index: int  # type: ignore[assignment]  # nobody looks for the place of a value in it
    """Its index, from 1."""
    addresses: tuple[str, ...]
    """Its IPv4 and IPv6 addresses."""
    up: bool
    """Whether it is switched on."""
    multicast: bool
    """Whether the system sends and receives multicast by it."""
    loopback: bool
    """Whether it is the loopback interface."""
    mtu: int | None
    """Octets of the largest packet that goes through it; ``None`` where it has no limit."""
    unusable: str | None
    """Why no group can be joined on it, in words; ``None`` where there is no such reason."""
