"""Write the results of a run between the two markers of a page: `python -m bench.publish RESULTS.json PAGE.md ...`.

`plot.py` draws the picture of the page.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench import cost_table

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
_READING = ("drain", "flood")
Row = dict[str, Any]

_RECEIVING = """\
### Receiving

CPU time for each datagram, in nanoseconds. *Plain*: one datagram in each packet. *Coalesced*: the
sender hands several datagrams to the kernel at once (`UDP_SEGMENT`).

| Reader | Bytes | Sent | Drain | Flood | Flood, with the sender | Lost in the flood |
|---|--:|---|--:|--:|--:|--:|"""
_SENDING = """\
### Sending

CPU time for each datagram, in nanoseconds.

| Sender | Bytes | CPU ns |
|---|--:|--:|"""
_OTHERS = """\
### Servers and groups

CPU time for each datagram of 100 bytes, in nanoseconds.

| Run | Reader | CPU ns | Lost |
|---|---|--:|--:|"""
_TARGETS = """\
### Targets

Ratios to another program in the same run, unless the target is a plain value. *Lean* receivers
request no metadata but the sender.

| What | Compared with | Measured | Target | Verdict |
|---|---|--:|--:|---|"""


def sections(results: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of the page in Markdown: the machine, the costs and the verdicts."""
    machine = results["machine"]
    system = (
        f"{machine['system']}, {machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
    )
    yield f"{system}; medians of {results['plan']['rounds']} rounds."
    rows: list[Row] = [row for row in results["rows"] if "cpu_ns" in row["median"]]
    yield "\n".join([_RECEIVING, *_reading(rows)])
    sending = [row for row in rows if row["scenario"] == "sending"]
    yield "\n".join(
        [_SENDING, *(f"| {row['contestant']} | {row['bytes']} | {_cost(row)} |" for row in sending)]
    )
    others = [row for row in rows if row["scenario"] not in {*_READING, "sending"}]
    yield "\n".join(
        [
            _OTHERS,
            *(f"| {row['scenario']} | {row['contestant']} | {_cost(row)} | {_lost(row)} |" for row in others),
        ]
    )
    yield "\n".join([_TARGETS, *map(_target, results["targets"])])


def _reading(rows: list[Row]) -> Iterator[str]:
    """Yield a line for each reader, size and kind of sender, drain and flood side by side."""
    found: dict[tuple[str, int, bool], dict[str, Row]] = {}
    for row in rows:
        if row["scenario"] in _READING:
            key = row["contestant"], row["bytes"], row["coalesced"]
            found.setdefault(key, {})[row["scenario"]] = row
    for (name, size, coalesced), pair in found.items():
        drain, flood = (pair.get(scenario) for scenario in _READING)
        sent = "coalesced" if coalesced else "plain"
        costs = _cost(drain), _cost(flood), _cost(flood, "both_ns"), _lost(flood)
        yield f"| {name} | {size} | {sent} | {' | '.join(costs)} |"


def _cost(row: Row | None, key: str = "cpu_ns") -> str:
    return "" if row is None else f"{row['median'][key]:,.0f}"


def _lost(row: Row | None) -> str:
    return "" if row is None or "lost_share" not in row["median"] else f"{row['median']['lost_share']:.1%}"


def _target(target: dict[str, Any]) -> str:
    measured = "-" if target["measured"] is None else f"{target['measured']:,.2f}"
    must = f"{'at least' if target['at_least'] else 'at most'} {target['limit']:g}"
    return f"| {target['what']} | {target['against']} | {measured} | {must} | {target['verdict']} |"


PAGES = {"benchmarks.md": sections, "costs.md": cost_table.sections}
"""Each page and the function that makes its sections from the results."""


def publish(parts: Iterable[str], page: str) -> str:
    """Return `page` with `parts` between its markers.

    Raises:
        ValueError: A marker is missing, or the second one is before the first.
    """
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    if end < start:
        raise ValueError(f"{END!r} is before {BEGIN!r}")
    return "\n\n".join([page[:start], *parts, page[end:]])


def main(results: Path, pages: Iterable[Path]) -> None:
    """Write what each page shows of the results into it."""
    found = json.loads(results.read_text())
    for page in pages:
        page.write_text(publish(PAGES[page.name](found), page.read_text()))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m bench.publish RESULTS.json PAGE.md ...")
    main(Path(sys.argv[1]), map(Path, sys.argv[2:]))
