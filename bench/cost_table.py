"""The tables of `docs/costs.md`: system calls and allocations of each way to receive and to send."""

from collections.abc import Iterator
from typing import Any

from bench.counting import KINDS

Row = dict[str, Any]

_CALLS = tuple(kind for kind in KINDS if kind.endswith("_calls"))
_RECEIVING = """\
### Receiving

| Reader | Queued: calls | objects | Coalesced: calls | objects | Single: calls | objects |
|---|--:|--:|--:|--:|--:|--:|"""
_SENDING = """\
### Sending

| Sender | Calls | Objects |
|---|--:|--:|"""


def sections(results: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of the page in Markdown, for one datagram each."""
    yield f"Python {results['machine']['python']}, {results['machine']['system']}; datagrams of 100 bytes."
    rows: dict[tuple[str, bool], dict[str, Row]] = {}
    for row in results["rows"]:
        if row["scenario"].startswith("counting"):
            rows.setdefault((row["scenario"], row["coalesced"]), {})[row["contestant"]] = row
    receiving = [
        rows.get(key, {})
        for key in (("counting queued", False), ("counting queued", True), ("counting single", False))
    ]
    names = dict.fromkeys(name for column in receiving for name in column)
    lines = [f"| {name} | {' | '.join(_cells(column.get(name)) for column in receiving)} |" for name in names]
    yield "\n".join([_RECEIVING, *lines])
    sending = rows.get(("counting sent", False), {})
    yield "\n".join([_SENDING, *(f"| {name} | {_cells(row)} |" for name, row in sending.items())])


def _cells(row: Row | None) -> str:
    if row is None:
        return " | "
    median = row["median"]
    return f"{sum(median[kind] for kind in _CALLS):.2f} | {median['allocations']:.2f}"
