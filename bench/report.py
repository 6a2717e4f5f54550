"""The tables a person reads and the JSON a program reads."""

import json
import os
import platform
import statistics
from dataclasses import asdict
from pathlib import Path

from bench.contestants import OURS, SEND, SEND_MANY, SEND_MANY_MIXED
from bench.plan import Plan
from bench.record import Book
from bench.targets import TARGETS

_OUR_NAMES = {entry.name for entry in (*OURS, SEND, SEND_MANY, SEND_MANY_MIXED)}


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


def measurements(book: Book) -> str:
    """Every row's medians, one table a scenario."""
    parts = []
    for scenario in dict.fromkeys(row[0] for row in book.rows):
        rows = [row for row in book.rows if row[0] == scenario]
        keys = list(
            dict.fromkeys(key for row in rows for values in book.rows[row].values() for key in values)
        )
        lines = [[scenario, "bytes", "sent", "rounds", *keys]]
        for row in rows:
            _, name, size, coalesced = row
            medians = [_amount(book.median(row, key)) for key in keys]
            lines.append(
                [name, str(size or "-"), "GSO" if coalesced else "plain", str(len(book.rows[row])), *medians]
            )
        parts.append(_columns(lines))
    return "\n\n".join(parts)


def verdicts(book: Book) -> str:
    """Each line of the design's speed table: measured, demanded, and whether it is reached."""
    lines = [["what", "against", "measured", "must", "verdict"]]
    for target in TARGETS:
        value, verdict = target.verdict(book)
        must = f"{'>=' if target.least else '<='} {target.limit:g}{target.unit}"
        lines.append(
            [
                target.what,
                target.against,
                _amount(value) + (target.unit if value is not None else ""),
                must,
                verdict,
            ]
        )
    return _columns(lines)


def remarks(book: Book) -> str:
    """Who was absent and what failed, a line each."""
    lines = [
        f"absent: {name} (python -m bench.install_competitors installs the neighbours)"
        for name in book.absent
    ]
    return "\n".join([*lines, *(f"failed {count} times: {what}" for what, count in book.failures.items())])


def write_json(path: Path, plan: Plan, book: Book) -> None:
    """Everything: the machine, the plan, every round of every row, and the verdicts."""
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
            "system": platform.platform(),
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
