"""A finding: why nothing arrives, the proof, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal, TypeAlias

    Confidence: TypeAlias = Literal["proven", "likely", "possible"]

CAUSES = (
    "ok",
    "no-route",
    "interface-down",
    "no-multicast-flag",
    "wrong-interface",
    "wrong-port",
    "wrong-group",
    "rp-filter",
    "firewall-input",
    "firewall-output",
    "ttl-expired",
    "link-scope",
    "buffer-overflow",
    "program-too-slow",
    "source-filtered",
    "no-querier",
    "igmp-version",
    "fragments-lost",
    "bad-checksum",
    "ipv6-disabled",
    "port-not-shared",
    "container",
    "loopback-off",
    "no-sender",
)
"""The codes of all causes."""

_CONFIDENCES = ("proven", "likely", "possible")


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, or the finding that nothing is wrong (``ok``)."""

    cause: str
    """One of `CAUSES`."""
    confidence: Confidence
    """``"proven"`` by what was observed, ``"likely"``, or ``"possible"``."""
    proof: Mapping[str, object]
    """The facts that show it: counters, numbers of datagrams, settings."""
    fix: str
    """A command that mends it, for a shell with the rights it needs; or a sentence if there is no command."""
    text: str
    """The finding in words."""


def datagrams(count: int) -> str:
    """Return a number of datagrams in words."""
    return "1 datagram" if count == 1 else f"{count} datagrams"


def strongest(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with the most confidence first, without the weaker ones if a cause is proven."""
    ordered = sorted(findings, key=lambda one: _CONFIDENCES.index(one.confidence))
    proven = [one for one in ordered if one.confidence == "proven"]
    return proven or ordered
