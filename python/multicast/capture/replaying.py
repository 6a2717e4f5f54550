"""Send the datagrams of pcap and pcapng files again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .. import _arguments, _core, endpoints, handlers
from .._closing import Closing
from ..exceptions import ClosedError
from ..sync import Sender
from .recording import above_zero

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import SupportsIndex, TypeAlias

    from ..handlers import Stop

    Selector: TypeAlias = tuple[str, int | None]
    AnyPath: TypeAlias = str | os.PathLike[str]

_MAX_LOOPS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PlayerStats:
    """The counters of a player.

    ::

        stats = player.stats()
        print(f"sent {stats.sent} of {stats.packets} packets")
        skipped = stats.other + stats.filtered + stats.cut
        if stats.is_file_cut:
            print(f"the file is incomplete; skipped {skipped}")

    """

    packets: int
    """Packets read."""
    sent: int
    """Datagrams sent."""
    bytes_sent: int
    """Payload bytes of these datagrams."""
    other: int
    """Packets that are not UDP datagrams."""
    filtered: int
    """Datagrams that were not selected, or whose destination is not a group."""
    cut: int
    """Datagrams whose end was not captured."""
    incomplete: int
    """Fragmented datagrams with missing fragments."""
    unsent: int
    """Datagrams that were read but not yet sent, or never sent because the player was stopped or failed."""
    loops: int
    """How many times all files have been read."""
    is_file_cut: bool
    """Whether a file ends in the middle of a packet."""


class Player(Closing):
    """Send the datagrams of pcap and pcapng files again.

    ::

        with Player("feed.pcapng", interface="eth0") as player:
            player.run()
            stats = player.stats()
            print(f"sent {stats.sent} datagrams")
        assert player.closed

    A file may come from this package, Wireshark, tcpdump or another
    program: Ethernet, Linux cooked, raw IP or loopback captures, with VLAN
    tags and IP fragments. Datagrams to groups are sent to their group and
    port, from an address of this machine. The core sleeps until 0.06 ms
    before a datagram is due, then watches the clock, so shorter gaps use a
    whole processor core.

    Args:
        paths: One or more files, which are sent in the order of the times
            of their first packets. A single named pipe works too, and so
            does ``"-"``, which stands for standard input; ``loops`` must be
            1 then. For a pipe, `run` raises the error if its contents are
            not a capture.
        interface: Name, index or address of the interface to send from, or
            an `Interface`. None leaves the choice to the system's routes.
        ttl: Time to live, from 0 to 255, as for `Sender`.
        loopback: Whether this machine receives what it sends.
        speed: Multiplies the speed of the capture, above 0. None sends as
            fast as the system accepts the datagrams.
        rate: Datagrams per second to send, above 0, instead of ``speed``.
        loops: Send the files this many times, at least 1. None repeats them
            until `stop` or `close`.
        groups: Send only the datagrams of these groups, such as
            ``["239.1.2.3", "239.1.2.4:5000"]``. Empty sends all.
        map: Changes destinations: from an address or ``address:port`` in
            the files to a group or ``group:port``. The IP versions may
            differ.

    Raises:
        ValueError: An argument is out of range, or a file is not a capture.
        OSError: A file cannot be opened; ``errno`` says why.
    """

    def __init__(
        self,
        paths: AnyPath | Iterable[AnyPath],
        *,
        interface: _arguments.OneInterface = None,
        ttl: SupportsIndex = 1,
        loopback: bool = True,
        speed: float | None = 1.0,
        rate: float | None = None,
        loops: SupportsIndex | None = 1,
        groups: Iterable[str] = (),
        map: Mapping[str, str] | None = None,  # noqa: A002 - the command has this name as well
    ) -> None:
        self.closed = True
        self._interface, self._ttl, self._loopback = interface, ttl, loopback
        self._senders: list[Sender] = []
        several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        self._paths = [os.fspath(path) for path in several]
        self._core = _core.Player(
            self._paths,
            speed=above_zero("speed", speed),
            rate=above_zero("rate", rate),
            loops=None if loops is None else _arguments.whole_number("loops", loops, 1, _MAX_LOOPS),
            groups=[one for text in groups for one in _selectors("groups", text)],
            mapping=_mapping(map or {}),
        )
        self.closed = False

    def run(self, *, stop: Stop = None) -> Literal["ended", "stopped"]:
        """Send until the end of the files, or of their last repetition.

        Args:
            stop: A `threading.Event`, or a function that returns true to end.
                It is checked at least every 0.1 s.

        Returns:
            ``"ended"`` if everything was sent, ``"stopped"`` after ``stop`` or
                `close`.

        Raises:
            ValueError: A file is damaged; the message says where. Datagrams
                before it were sent.
            OSError: A file cannot be read or a datagram cannot be sent.
        """
        stopped = handlers._as_predicate(stop)
        while not self.closed and not stopped():
            try:
                ended, missing = self._core.step()
            except ClosedError:
                # Another thread called close().
                break
            if ended:
                return "ended"
            if missing is not None:
                self._add_sender(*missing)
        return "stopped"

    def stats(self) -> PlayerStats:
        """Return the counters. They keep their last values after closing."""
        return PlayerStats(**self._core.counters())

    @property
    def progress(self) -> float | None:
        """The share of the files, with their repetitions, that was read, from 0 to 1.

        None if they repeat until stopped, and for a pipe.
        """
        return self._core.progress

    @property
    def destinations(self) -> tuple[str, ...]:
        """The groups and ports sent to so far, such as ``"239.1.2.3:5000"``."""
        return tuple(str(endpoints.Endpoint(one.group, one.port)) for one in self._senders)

    def close(self) -> None:
        """Close the sockets. Closing again does nothing."""
        self.closed = True
        for sender in self._senders:
            sender.close()

    def __repr__(self) -> str:
        """Return the files and whether it is closed."""
        return f"<Player of {', '.join(self._paths)}{', closed' if self.closed else ''}>"

    def _add_sender(self, group: str, port: int) -> None:
        sender = Sender(group, port, interface=self._interface, ttl=self._ttl, loopback=self._loopback)
        self._senders.append(sender)
        self._core.add_sender(sender)


def _selectors(argument: str, text: str) -> list[Selector]:
    """Return the addresses that ``text`` of an argument stands for, each with its port or None."""
    try:
        endpoint = endpoints.from_argument(text)
        several = endpoints.expand(endpoint)
        for one in (several[0], several[-1]):
            endpoints.parse_address(one.group)
    except ValueError as error:
        raise ValueError(f"{argument} must have addresses, optionally with a port: {error}") from error
    if endpoint.interface is not None or endpoint.sources:
        raise ValueError(f"{argument} must have addresses, optionally with a port, got {text!r}")
    return [(one.group, one.port) for one in several]


def _mapping(given: Mapping[str, str]) -> list[tuple[Selector, Selector]]:
    """Return pairs of what is in the file and what is sent.

    Several addresses map one by one.
    """
    pairs: list[tuple[Selector, Selector]] = []
    for before, after in given.items():
        sources, targets = _selectors("map", before), _selectors("map", after)
        if len(sources) != len(targets):
            raise ValueError(
                f"map must have the same number of groups on both sides, got {before!r} and {after!r}"
            )
        if not all(endpoints.parse_address(group).is_multicast for group, _ in (targets[0], targets[-1])):
            raise ValueError(f"map must send to a group, got {after!r}")
        pairs += zip(sources, targets, strict=True)
    return pairs
