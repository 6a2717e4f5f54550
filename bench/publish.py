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
COMPARED_BEGIN, COMPARED_END = "<!-- compared -->", "<!-- end of compared -->"
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

CPU time for each datagram, in nanoseconds.

| Run | Reader | Bytes | CPU ns | Lost |
|---|---|--:|--:|--:|"""
_TARGETS = """\
### Targets

Ratios to another program in the same run, unless the target is a plain value. *Lean* receivers
request no metadata except the sender.

| What | Compared with | Measured | Target | Verdict |
|---|---|--:|--:|---|"""

_COMPARED = """\
| 100 bytes | Drain | Flood |
|---|--:|--:|"""
# The pairs that the page compares first: the words for a pair, and the names of both programs in the results.
_PAIRS = (
    (
        "`recv_batch()` columns / C loop with the same metadata",
        "recv_batch columns",
        "floor: recvmmsg, same metadata",
    ),
    ("`for msg in rx` / `socket.recvfrom`", "for msg in rx", "stdlib recvfrom(65535)"),
    ("`async for msg in rx` / uvloop protocol", "async for msg in rx", "uvloop protocol"),
    ("`async for msg in rx` / asyncio protocol", "async for msg in rx", "asyncio protocol"),
    ('`engine="packet"`, columns / bare C loop over `recvmmsg`', "packet engine, columns", "floor: recvmmsg"),
    (
        '`engine="packet"`, `for msg in rx` / `socket.recvfrom`',
        "packet engine, for msg in rx",
        "stdlib recvfrom(65535)",
    ),
)


def compared(results: dict[str, Any]) -> Iterator[str]:
    """Yield the table of ratios that the page begins with."""
    medians = {
        (row["scenario"], row["contestant"]): row["median"]["cpu_ns"]
        for row in results["rows"]
        if row["bytes"] == 100 and not row["coalesced"] and "cpu_ns" in row["median"]
    }

    def ratio(scenario: str, name: str, base: str) -> str:
        pair = medians.get((scenario, name)), medians.get((scenario, base))
        return "" if pair[0] is None or pair[1] is None else f"{pair[0] / pair[1]:.2f}"

    lines = (f"| {words} | {' | '.join(ratio(run, *pair) for run in _READING)} |" for words, *pair in _PAIRS)
    yield "\n".join([_COMPARED, *lines])


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
            *(
                f"| {row['scenario']} | {row['contestant']} | {row['bytes']} | {_cost(row)} | {_lost(row)} |"
                for row in others
            ),
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
    value = target["measured"]
    # A number of lost datagrams may be large; ratios are not.
    measured = "-" if value is None else f"{value:,.{0 if value >= 1000 else 2}f}"
    must = f"{'at least' if target['at_least'] else 'at most'} {target['limit']:g}"
    return f"| {target['what']} | {target['against']} | {measured} | {must} | {target['verdict']} |"


_RESULTS = (BEGIN, END)
PAGES = {
    "benchmarks.md": {(COMPARED_BEGIN, COMPARED_END): compared, _RESULTS: sections},
    "costs.md": {_RESULTS: cost_table.sections},
}
"""For each page, each pair of markers and the function that makes what stands between them."""


def publish(parts: Iterable[str], page: str, markers: tuple[str, str] = _RESULTS) -> str:
    """Return `page` with `parts` between `markers`.

    Raises:
        ValueError: A marker is missing, or the second one is before the first.
    """
    first, last = markers
    start, end = page.index(first) + len(first), page.index(last)
    if end < start:
        raise ValueError(f"{last!r} is before {first!r}")
    return "\n\n".join([page[:start], *parts, page[end:]])


def main(results: Path, pages: Iterable[Path]) -> None:
    """Write what each page shows of the results into it."""
    found = json.loads(results.read_text())
    for page in pages:
        text = page.read_text()
        for markers, parts in PAGES[page.name].items():
            text = publish(parts(found), text, markers)
        page.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m bench.publish RESULTS.json PAGE.md ...")
    main(Path(sys.argv[1]), map(Path, sys.argv[2:]))
