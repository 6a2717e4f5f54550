"""Writes the README's speed figures from a run of `make bench`: ``python scripts/docs/speed_table.py RESULTS.json``.

What is measured, and how, is told in docs/benchmarks.md; here a few lines are chosen.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
SIZE = 100
# The name in the results, and what it is called here.
LINES = {
    "floor: recvmmsg": "C, a bare `recvmmsg` loop",
    "recv_batch columns, lean": "**`rx.recv_batch()`**, columns, told nothing but the sender",
    "recv_batch columns": "**`rx.recv_batch()`**, columns",
    "for msg in rx": "**`for msg in rx`**",
    "async for msg in rx": "**`async for msg in rx`**",
    "stdlib recvfrom(65535)": "`socket.recvfrom`",
    "uvloop protocol": "uvloop protocol",
    "multicast_expert": "multicast_expert",
    "asyncio protocol": "asyncio protocol",
}


def table(results: dict[str, Any]) -> str:
    """Return the lines and their conditions, in Markdown.

    Raises:
        KeyError: The run lacks one of the lines.
    """
    found = {
        (row["contestant"], row["coalesced"]): row["median"]["cpu_ns"]
        for row in results["rows"]
        if row["scenario"] == "drain" and row["bytes"] == SIZE
    }
    machine = results["machine"]
    system = "-".join(machine["system"].split("-")[:2]).replace("-", " ")
    lines = ["| Receiving, CPU time a datagram | sent singly | sent coalesced |", "|---|--:|--:|"]
    for name, shown in LINES.items():
        plain = f"{found[name, False]:,.0f} ns"
        coalesced = found.get((name, True), found.get((f"{name} + UDP_GRO", True)))
        lines.append(f"| {shown} | {plain} | {'' if coalesced is None else f'{coalesced:,.0f} ns'} |")
    return "\n".join(lines) + (
        f"\n\nDatagrams of {SIZE} bytes taken from a full receive buffer; user and system time of the process, "
        f"median of {results['plan']['rounds']} rounds.\n"
        f"{system}, {machine['processor']}, {machine['cores']} cores, Python {machine['python']}."
    )


def publish(results: dict[str, Any], page: str) -> str:
    """Return ``page`` with the figures of ``results`` between its markers.

    Raises:
        ValueError: A marker is missing.
    """
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:start]}\n\n{table(results)}\n\n{page[end:]}"


def main() -> int:
    """Write the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes the README's speed figures.")
    parser.add_argument("results", type=Path, help="the JSON of a run of `make bench`")
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    README.write_text(publish(results, README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
