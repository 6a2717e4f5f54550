"""The table of ``multicast top``: its columns, their text, and the order of its rows."""

from __future__ import annotations

from .words import address, quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..apps.watching import Row

GAP = 2
"""Spaces between two columns."""

ORDERS: dict[str, Callable[[Row], Any]] = {
    "group": lambda row: (row.port, _number(row.group)),
    "sender": lambda row: (_number(row.sender), row.sender_port or 0),
    "state": lambda row: row.state,
    "rate": lambda row: -row.packets_per_s,
    "bits": lambda row: -row.bits_per_s,
    "lost": lambda row: -(row.lost or 0) - row.lost_here,
    "jitter": lambda row: -(row.jitter_us or 0),
    "burst": lambda row: -row.burst_buffer,
}
"""For each order of the rows, the key to sort by."""

CELLS: dict[str, Callable[[Row], str]] = {
    "GROUP": lambda row: address(row.group or "-", row.port),
    "SENDER": lambda row: "-" if row.sender is None else address(row.sender, row.sender_port or 0),
    "STATE": lambda row: row.state,
    "PKT/S": lambda row: quantity(row.packets_per_s),
    "BIT/S": lambda row: quantity(row.bits_per_s),
    "LOST": lambda row: _count(row.lost),
    "HERE": lambda row: str(row.lost_here),
    "DUP": lambda row: _count(row.duplicates),
    "LATE": lambda row: _count(row.reordered),
    "JITTER": lambda row: "-" if row.jitter_us is None else f"{row.jitter_us:.0f}us",
    "TTL": lambda row: _count(row.ttl),
    "KIND": lambda row: row.kind,
    "NETWORK": lambda row: _count(row.lost_network),
    "KERNEL": lambda row: str(row.lost_kernel),
    "PROGRAM": lambda row: str(row.lost_program),
    "RESTARTS": lambda row: str(row.restarts),
    "DSCP": lambda row: _count(row.dscp),
    "SEEN": lambda row: "-" if row.silent_s is None else _ago(row.silent_s),
    "BURST": lambda row: "-" if row.sender is None else quantity(row.burst_packets),
    "BUFFER": lambda row: "-" if row.sender is None else quantity(row.burst_buffer),
    "VIA": lambda row: row.interface or "-",
}
"""For each column, the text of a row."""

# The most important one first.
_IMPORTANCE = (
    "GROUP",
    "STATE",
    "PKT/S",
    "LOST",
    "SENDER",
    "BIT/S",
    "HISTORY",
    "HERE",
    "KERNEL",
    "PROGRAM",
    "JITTER",
    "SEEN",
    "NETWORK",
    "DUP",
    "LATE",
    "RESTARTS",
    "BUFFER",
    "BURST",
    "TTL",
    "KIND",
    "DSCP",
    "VIA",
)


def columns_that_fit(widths: dict[str, int], width: int) -> list[str]:
    """Return the columns that fit the terminal, without the least important ones; at least the first.

    Args:
        widths: the width of each column, in the order of the table.
        width: the width of the terminal.
    """
    kept = list(widths)
    for name in reversed(_IMPORTANCE):
        if sum(widths[column] + GAP for column in kept) - GAP <= width or len(kept) == 1:
            break
        if name in kept:
            kept.remove(name)
    return kept


def in_order(rows: Iterable[Row], order: str) -> list[Row]:
    """Return the rows in one of `ORDERS`; rows that are equal in it by group and sender."""
    by_group = sorted(rows, key=lambda row: (*ORDERS["group"](row), *ORDERS["sender"](row)))
    return sorted(by_group, key=ORDERS[order])


def widths_of(head: Sequence[str], cells: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the width of each column."""
    return {column[0]: max(map(len, column)) for column in zip(head, *cells, strict=True)}


def _number(address: str | None) -> tuple[int, int]:
    """Return what to sort an address by, so that 239.1.1.2 comes before 239.1.1.10; None comes first."""
    from ipaddress import ip_address  # noqa: PLC0415 - see the top of the package

    if address is None:
        return 0, 0
    parsed = ip_address(address)
    return parsed.version, int(parsed)


def _count(count: int | None) -> str:
    return "-" if count is None else str(count)


def _ago(seconds: float) -> str:
    """Return a time that has passed, in four characters: "0.2s", "59s", "12m", "3h"."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    for factor, sign in ((1, "s"), (60, "m"), (3600, "h")):
        if seconds < 100 * factor:
            return f"{seconds / factor:.0f}{sign}"
    return f"{seconds / 86400:.0f}d"
