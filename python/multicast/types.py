"""The plain values that the modern face hands out.

Beside the stack: this module imports the standard library only.
"""

from __future__ import annotations

from typing import NamedTuple


class ReceiverStats(NamedTuple):
    """What became of the datagrams that reached a receiver.

    On a network that loses nothing, sent = ``received`` + ``kernel_drops`` + ``truncated`` + ``filtered``.
    """

    received: int
    """Whole datagrams taken from the kernel and wanted."""
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
    """Index of the interface; ``None`` where the system chose."""
    sources: tuple[str, ...]
    """The only senders wanted; empty where any is."""
    excluded: tuple[str, ...]
    """Senders that are not wanted."""


class Interface(NamedTuple):
    """One network interface of this machine."""

    name: str
    """The system's name for it."""
    index: int
    """Its index, from 1."""
    addresses: tuple[str, ...]
    """Its IPv4 and IPv6 addresses."""
    up: bool
    """Whether it is switched on."""
    multicast: bool
    """Whether the system sends and receives multicast by it."""
    loopback: bool
    """Whether it is the loopback interface."""
