"""The times in which the interface of a diagnosis was away: nothing is proven about what was sent meanwhile."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ...watching import watch_interfaces
from ..links import links
from .finding import Finding, datagrams, strongest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from ...types import Interface, InterfaceEvent
    from .case import Case

# Causes that rest on what did not arrive on the interface.
_BY_ABSENCE = {"wrong-interface", "wrong-port", "wrong-group"}


class Outages:
    """Notice when the interface of a case is down, gone, renamed or without its address. A context manager.

    Call `look` several times a second.

    Raises:
        OSError: The system refused to report changes of interfaces.
    """

    def __init__(self, case: Case) -> None:
        self._case, self._name = case, case.interface
        self._index = None if case.link is None else case.link.index
        self._away, self._bare = _Spells(), _Spells()
        self._how: list[str] = []
        self._begun = time.monotonic()
        self._watch = watch_interfaces()
        if case.link is not None:
            self._check_address(case.link)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()

    @property
    def have_begun(self) -> bool:
        """Whether the interface is away, or was."""
        return bool(self._how)

    @property
    def seconds_without_address(self) -> float:
        """Seconds for which the interface had no address of the IP version of the group."""
        return self._bare.seconds()

    def look(self) -> None:
        """Take the events since the last call."""
        while True:
            try:
                self._take(self._watch.wait(0))
            except TimeoutError:
                return

    def looking(self, is_over: Callable[[], bool]) -> Callable[[], bool]:
        """Return a function that looks, and returns what ``is_over`` returns."""

        def look() -> bool:
            self.look()
            return is_over()

        return look

    def finding(self, received: int) -> Finding | None:
        """Return the finding that the interface was away for a time; None if it was not.

        Args:
            received: the number of datagrams that arrived in the rest of the time.
        """
        self.look()
        if not self._how and not self._lost_carrier():
            return None
        name, away, listened = self._name, self._away.seconds(), time.monotonic() - self._begun
        how = " and ".join(self._how) or "without a link"
        time_away = (
            f"for {away:.1f} s of the {listened:.1f} s of listening" if away >= 0.05 else "for a moment"
        )
        arrived = datagrams(received) if received else "nothing"
        return Finding(
            "interface-down",
            "proven" if received else "likely",
            {
                "interface": name,
                "was": how,
                "away_s": round(away, 2),
                "listened_s": round(listened, 2),
                "received": received,
            },
            f"find out what changes {name} (ip monitor link address), and run this again while it stays up",
            f"the interface {name} was {how} {time_away}: {arrived} arrived in the rest of the time, and what was "
            "sent meanwhile may be lost",
        )

    def among(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the causes for which nothing was received, with an outage as one of them."""
        outage = self.finding(0)
        if outage is None:
            return strongest(found)
        doubtful = [replace(one, confidence="likely") if one.cause in _BY_ABSENCE else one for one in found]
        return strongest([outage, *doubtful])

    def _take(self, event: InterfaceEvent) -> None:
        one = event.interface
        if one is None or (one.index != self._index and one.name != self._name):
            return
        if one.name != self._name:
            if event.kind == "added":
                self._how = [how for how in self._how if how != "gone"]
                self._begin(f"renamed to {one.name}")
            return
        if event.kind == "up":
            self._index = one.index
            self._away.end()
        elif event.kind in {"down", "removed"}:
            self._begin("gone" if event.kind == "removed" else "down")
        self._check_address(one)

    def _begin(self, how: str) -> None:
        self._away.begin()
        if how not in self._how:
            self._how.append(how)

    def _check_address(self, one: Interface) -> None:
        """Note whether the interface has an address of the right version."""
        if any((":" in address) == self._case.is_ipv6 for address in one.addresses):
            self._bare.end()
        else:
            self._bare.begin()

    def _lost_carrier(self) -> bool:
        """Return whether the kernel counted a loss that it did not report, because it was shorter than its delay."""
        before = self._case.link
        return before is not None and any(
            one.index == before.index and one.carrier_changes != before.carrier_changes for one in links()
        )


class _Spells:
    """Add up the seconds between beginnings and ends."""

    def __init__(self) -> None:
        self._total = 0.0
        self._since: float | None = None

    def begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()

    def end(self) -> None:
        self._total, self._since = self.seconds(), None

    def seconds(self) -> float:
        return self._total + (0.0 if self._since is None else time.monotonic() - self._since)
