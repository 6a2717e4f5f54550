"""The questions that the causes ask of an observation."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import collections
    from collections.abc import Iterator

    from .case import Case
    from .listening import Arrival, Observation
    from .sniffer import Sighting


class Evidence:
    """An observation of a case in which nothing was received, with the questions that the causes ask of it.

    Args:
        case: what is under diagnosis.
        observed: what was observed while listening to the endpoint.
        everywhere: what arrived on any interface and from any source when everything was joined.
    """

    def __init__(self, case: Case, observed: Observation, everywhere: collections.Counter[Arrival]) -> None:
        self.case, self.observed, self.everywhere = case, observed, everywhere
        self.can_see_packets = observed.seen is not None
        self.own_addresses = {address for link in case.links for address in link.addresses}

    def rise(self, *names: str) -> int:
        """Return by how much the first of these counters that rose has risen; 0 if none did."""
        return next((self.observed.rises[name] for name in names if name in self.observed.rises), 0)

    def sightings(self, *, is_outgoing: bool = False) -> Iterator[tuple[Sighting, int]]:
        """Yield the packets seen, and how many of each kind."""
        for sighting, count in (self.observed.seen or {}).items():
            if sighting.is_outgoing == is_outgoing:
                yield sighting, count

    def reached(self) -> dict[str, int]:
        """Return the datagrams for the endpoint that reached its interface, by source that it accepts."""
        found: dict[str, int] = {}
        for one, count in self.sightings():
            if self._is_ours(one) and one.interface == self.case.interface and self.accepts(one.source):
                found[one.source] = found.get(one.source, 0) + count
        return found

    def arrivals(self) -> dict[tuple[str, str], int]:
        """Return the datagrams for the group and port that reached any interface, by interface and source."""
        found: dict[tuple[str, str], int] = {}
        for one, count in self.sightings():
            if self._is_ours(one):
                found[one.interface, one.source] = found.get((one.interface, one.source), 0) + count
        for arrival, count in self.everywhere.items():
            key = (arrival.interface or "", arrival.source)
            found[key] = max(found.get(key, 0), count)
        return found

    def completed(self, *, any_port: bool = False) -> int:
        """Return how many fragmented datagrams for the endpoint, or any port of its group, reached it whole."""
        return sum(
            count
            for (interface, group, port), count in self.observed.completed.items()
            if interface == self.case.interface
            and group == self.case.endpoint.group
            and (any_port or port == self.case.port)
        )

    def refused(self) -> int:
        """Return how many packets the interface dropped or could not receive."""
        name = self.case.interface
        return self.rise(f"{name}.rx_errors") + self.rise(f"{name}.rx_dropped")

    def left(self) -> int:
        """Return the datagrams for the group and port that left this machine by the interface."""
        return sum(
            count
            for one, count in self.sightings(is_outgoing=True)
            if self._is_ours(one)
            and one.interface == self.case.interface
            and one.source in self.own_addresses
        )

    def accepts(self, source: str) -> bool:
        """Return whether the endpoint wants datagrams of this source."""
        sources = {str(ipaddress.ip_address(one.partition("%")[0])) for one in self.case.endpoint.sources}
        return not sources or source in sources

    def _is_ours(self, one: Sighting) -> bool:
        return one.group == self.case.endpoint.group and one.port == self.case.port
