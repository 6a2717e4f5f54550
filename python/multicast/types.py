"""The plain values that the Receiver API returns. This module imports the standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal


@dataclass(frozen=True, slots=True)
class ReceiverStats:
    """The counters of a receiver.

    ::

        stats = rx.stats()
        lost_here = (stats.kernel_drops or 0) + stats.ring_drops
        if lost_here:
            print(f"received {stats.received}, dropped {lost_here}")
            print(f"receive buffer: {stats.recv_buffer_actual} bytes")

    If the network loses nothing, sent = ``received`` + ``truncated`` +
    ``filtered`` + ``kernel_drops`` + ``ring_drops`` + ``invalid`` +
    ``unassembled`` once the kernel's buffer has been emptied.
    """

    received: int
    """Whole datagrams received, not counting those that the ring dropped."""
    bytes_received: int
    """Payload bytes of these datagrams."""
    kernel_drops: int | None
    """Datagrams that the kernel dropped because its receive buffer was full; None if the system does not count."""
    truncated: int
    """Datagrams whose end or metadata is missing, because they were longer than a UDP datagram can be, or the kernel
    had no room for the metadata."""
    filtered: int
    """Datagrams of a group, interface or source that the receiver has not joined."""
    invalid: int
    """Datagrams with a wrong header or checksum, with ``engine="packet"``. With sockets, 0: the kernel discards them
    without a report."""
    unassembled: int
    """Datagrams whose fragments did not all arrive within 30 seconds, with ``engine="packet"``. With sockets, 0: the
    kernel discards them without a report."""
    recv_buffer_requested: int | None
    """Receive buffer requested, in bytes; None if the system's default was kept."""
    recv_buffer_actual: int
    """Receive buffer granted by the system, in bytes; the smallest one if there are several sockets."""
    sockets: int
    """Sockets in use."""
    ring_drops: int
    """Datagrams that the ring dropped because it was full or memory was short, or that were left in it at closing; 0
    without a ring."""
    ring_high_water: int
    """The highest number of datagrams that were in the ring at the same time; 0 without a ring."""
    rejoins: int
    """Memberships that were rejoined, or joined on an interface that appeared later."""
    interface_events: int
    """Changes of joined interfaces: down, up, deleted, or addresses changed."""
    outage_seconds: float
    """Seconds during which a group had no working interface."""


@dataclass(frozen=True, slots=True)
class SenderStats:
    """The counters of a sender.

    ::

        tx.send_many(messages)
        stats = tx.stats()
        print(f"sent {stats.sent} datagrams, {stats.bytes_sent} bytes")
        share = stats.coalesced / stats.sent
        print(f"{share:.0%} of them coalesced")
    """

    sent: int
    """Datagrams that the kernel accepted."""
    bytes_sent: int
    """Payload bytes of these datagrams."""
    coalesced: int
    """The number of these datagrams that went to the kernel together with others of the same size."""


@dataclass(frozen=True, slots=True)
class Membership:
    """One joined group on one interface.

    ::

        for membership in rx.groups:
            where = membership.interface or "the system's choice"
            print(f"{membership.group} on {where}")
            if membership.sources:
                print("only from", ", ".join(membership.sources))
    """

    group: str
    """The group's address."""
    interface: str | None
    """Name of the interface; None if the system chose one and does not say which, or if it no longer exists."""
    interface_index: int | None
    """Index of the interface; None if the system chose one and does not say which."""
    sources: tuple[str, ...]
    """The only senders received; empty for any sender."""
    excluded: tuple[str, ...]
    """Senders that are not received."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface of this machine.

    ::

        for interface in multicast.interfaces():
            if interface.unusable_reason is None:
                print(interface.index, interface.name, *interface.addresses)
            else:
                print(interface.name, "is unusable:", interface.unusable_reason)
    """

    name: str
    """The system's name for it."""
    index: int
    """Its index, from 1."""
    addresses: tuple[str, ...]
    """Its IPv4 and IPv6 addresses."""
    is_up: bool
    """Whether it is switched on."""
    is_multicast: bool
    """Whether the system marks it as capable of multicast."""
    is_loopback: bool
    """Whether it is the loopback interface."""
    mtu: int | None
    """The largest packet that it carries, in bytes; None if there is no limit."""
    unusable_reason: str | None
    """Why no group can be joined on it, in words; None if groups can be joined."""


@dataclass(frozen=True, slots=True)
class InterfaceEvent:
    """A change of the interfaces or routes of this machine.

    ::

        for event in multicast.watch_interfaces():
            if event.interface is not None:
                print(event.interface.name, event.kind)
            elif event.kind == "resync":
                print("events were lost; the next ones describe the current state")
    """

    kind: Literal["added", "removed", "up", "down", "addresses", "routes", "resync"]
    """``"added"`` and ``"removed"`` also report a new name; ``"up"`` means switched on and with a carrier, ``"down"``
    anything else; ``"addresses"`` means that they differ from those of the last event; ``"routes"`` reports default
    routes and routes for multicast; ``"resync"`` means that events were lost."""
    interface: Interface | None
    """The interface after the change, or before it for ``"removed"``; None for ``"routes"`` and ``"resync"``."""
