"""The report that a person reads and the JSON that a program reads."""

import json
import os
import platform
import statistics
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench.contestants import OURS, SEND, SEND_MANY, SEND_MANY_MIXED
from bench.plan import Plan
from bench.record import Book
from bench.targets import TARGETS

_OUR_NAMES = {entry.name for entry in (*OURS, SEND, SEND_MANY, SEND_MANY_MIXED)}
# These two scenarios are columns of one table.
_READING = ("drain", "flood")


def sections(book: Book) -> Iterator[str]:
    """Yield the parts of the report: the result first, then the measurements, then the problems."""
    yield verdicts(book)
    if any(row[0] in _READING for row in book.rows):
        yield reading(book)
    for scenario in dict.fromkeys(row[0] for row in book.rows):
        if scenario not in _READING:
            yield measurements(book, scenario)
    yield from problems(book)


def _amount(value: float | None) -> str:
    if value is None:
        return "-"
    if value != int(value) or abs(value) < 10:
        return f"{value:,.2f}"
    return f"{value:,.0f}"


def _columns(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _sent(coalesced: bool) -> str:
    return "coalesced" if coalesced else "plain"


def verdicts(book: Book) -> str:
    """Return how many targets are reached, and each target with its measurement; targets not measured are left out."""
    lines = [["target", "compared with", "measured", "must be", "verdict"]]
    for target in TARGETS:
        value, verdict = target.verdict(book)
        if value is not None:
            must = f"{'>=' if target.least else '<='} {target.limit:g}{target.unit}"
            lines.append([target.what, target.against, f"{_amount(value)}{target.unit}", must, verdict])
    measured = lines[1:]
    passed = sum(line[-1] == "pass" for line in measured)
    head = (
        f"{passed} of {len(measured)} measured targets reached; {len(TARGETS) - len(measured)} not measured"
    )
    return f"{head}\n\n{_columns(lines)}"


def reading(book: Book) -> str:
    """Return the costs of receiving a datagram, drain and flood side by side."""
    lines = [
        ["reader", "bytes", "sent", "drain, CPU ns", "flood, CPU ns", "with the sender", "lost in the flood"]
    ]
    for _, name, size, coalesced in dict.fromkeys(("", *row[1:]) for row in book.rows if row[0] in _READING):
        drain, flood = ((scenario, name, size, coalesced) for scenario in _READING)
        lost = book.median(flood, "lost_share")
        costs = [book.median(drain, "cpu_ns"), book.median(flood, "cpu_ns"), book.median(flood, "both_ns")]
        cells = ["-" if cost is None else f"{cost:,.0f}" for cost in costs]
        lines.append([name, str(size), _sent(coalesced), *cells, "-" if lost is None else f"{lost:.1%}"])
    return _columns(lines)


def measurements(book: Book, scenario: str) -> str:
    """Return the medians of every row of a scenario."""
    rows = [row for row in book.rows if row[0] == scenario]
    keys = list(dict.fromkeys(key for row in rows for values in book.rows[row].values() for key in values))
    lines = [[scenario, "bytes", "sent", "rounds", *keys]]
    for row in rows:
        _, name, size, coalesced = row
        medians = [_amount(book.median(row, key)) for key in keys]
        lines.append([name, str(size or "-"), _sent(coalesced), str(len(book.rows[row])), *medians])
    return _columns(lines)


def problems(book: Book) -> Iterator[str]:
    """Yield the absent contestants and the failures, if there are any."""
    lines = [f"absent: {name} (install with: python -m bench.install_competitors)" for name in book.absent]
    lines += [f"failed {count} times: {what}" for what, count in book.failures.items()]
    if lines:
        yield "\n".join(lines)


def write_json(path: Path, plan: Plan, book: Book) -> None:
    """Write the machine, the plan, every round of every row, and the verdicts."""
    rows = [
        {
            "scenario": row[0],
            "contestant": row[1],
            "bytes": row[2],
            "coalesced": row[3],
            "ours": row[1] in _OUR_NAMES,
            "rounds": [turns[turn] for turn in sorted(turns)],
            "median": {
                key: statistics.median(values[key] for values in turns.values() if key in values)
                for key in dict.fromkeys(key for values in turns.values() for key in values)
            },
        }
        for row, turns in book.rows.items()
    ]
    judged = [(target, *target.verdict(book)) for target in TARGETS]
    content = {
        "machine": {
            "system": f"{platform.system()} {platform.release().partition('-')[0]}",
            "processor": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
        "plan": asdict(plan),
        "rows": rows,
        "targets": [
            {
                "what": target.what,
                "against": target.against,
                "limit": target.limit,
                "at_least": target.least,
                "measured": value,
                "verdict": verdict,
            }
            for target, value, verdict in judged
        ],
        "absent": book.absent,
        "failures": book.failures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
