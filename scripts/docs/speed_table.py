"""Write the README's speed table from a run of `make bench`: ``python scripts/docs/speed_table.py RESULTS.json``.

The table is a selection; docs/benchmarks.md has all results and explains the method.
"""

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
SIZE = 100
# Names in the results, and in the table.
LINES = {
    "floor: recvmmsg": "C, a bare `recvmmsg` loop",
    "recv_batch columns, lean": "**`rx.recv_batch()`**, columns, lean",
    "recv_batch columns": "**`rx.recv_batch()`**, columns",
    "for msg in rx": "**`for msg in rx`**",
    "async for msg in rx": "**`async for msg in rx`**",
    "stdlib recvfrom(65535)": "`socket.recvfrom`",
    "uvloop protocol": "uvloop protocol",
    "multicast_expert": "multicast_expert",
    "asyncio protocol": "asyncio protocol",
}
# Headings of the columns, with the scenario and whether the sender coalesces.
COLUMNS = {
    "Drain": ("drain", False),
    "Flood": ("flood", False),
    "Drain, coalesced": ("drain", True),
    "Flood, coalesced": ("flood", True),
}


def table(results: dict[str, Any]) -> str:
    """Return the table and its conditions, in Markdown.

    Raises:
        KeyError: The run lacks a line of the table, in the drain.
    """
    found = {
        (row["contestant"], row["scenario"], row["coalesced"]): row["median"]
        for row in results["rows"]
        if row["bytes"] == SIZE
    }
    lines = [f"| Receiving {SIZE} bytes | {' | '.join(COLUMNS)} |", "|---|--:|--:|--:|--:|"]
    for name, shown in LINES.items():
        found[name, "drain", False]  # a line that was not measured is an error, not an empty row
        cells = [
            _cell(found.get((name, *column), found.get((f"{name} + UDP_GRO", *column))))
            for column in COLUMNS.values()
        ]
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    machine = results["machine"]
    system = "-".join(machine["system"].split("-")[:2]).replace("-", " ")
    conditions = (
        f"CPU time for each datagram (user and system), median of {results['plan']['rounds']} rounds. *Drain* reads a "
        "full receive buffer. *Flood* sends and receives at the same time. *Coalesced*: the sender hands several "
        "datagrams to the kernel at once. *Lean*: no metadata but the sender. "
        f"{system}, {machine['processor']}, {machine['cores']} cores, Python {machine['python']}."
    )
    return "\n".join([*lines, "", *textwrap.wrap(conditions, 100)])


def _cell(median: dict[str, float] | None) -> str:
    if median is None:
        return ""
    lost = f"{median.get('lost_share', 0):.1%}"
    return f"{median['cpu_ns']:,.0f} ns" + ("" if lost == "0.0%" else f", {lost} lost")


def publish(results: dict[str, Any], page: str) -> str:
    """Return ``page`` with the table of ``results`` between its markers.

    Raises:
        ValueError: A marker is missing.
    """
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:start]}\n\n{table(results)}\n\n{page[end:]}"


def main() -> int:
    """Write the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the README's speed table.")
    parser.add_argument("results", type=Path, help="results of `make bench`, in JSON")
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    README.write_text(publish(results, README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
