"""Write the README's speed table from a run of `make bench`: ``python scripts/docs/speed_table.py RESULTS.json``.

The table has a selection of the results; docs/benchmarks.md has all of them and describes the method.
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
# The name in the results, and the name in the table.
LINES = {
    "floor: recvmmsg": "C, a bare `recvmmsg` loop",
    "recv_batch columns, lean": "**`rx.recv_batch()`**, columns, lean",
    "recv_batch columns": "**`rx.recv_batch()`**, columns",
    "packet engine, columns": '**`rx.recv_batch()`**, columns, `engine="packet"`',
    "for msg in rx": "**`for msg in rx`**",
    "packet engine, for msg in rx": '**`for msg in rx`**, `engine="packet"`',
    "async for msg in rx": "**`async for msg in rx`**",
    "stdlib recvfrom(65535)": "`socket.recvfrom`",
    "uvloop protocol": "uvloop protocol",
    "multicast_expert": "multicast_expert",
    "asyncio protocol": "asyncio protocol",
}
# The scenario of each column, and whether the sender coalesces.
COLUMNS = (("drain", False), ("flood", False), ("drain", True), ("flood", True))

Medians = dict[tuple[str, str, bool], dict[str, float]]
"""The medians of a row, by scenario, contestant and whether the sender coalesces."""


def table(results: dict[str, Any]) -> str:
    """Return the table and the conditions of the run, in Markdown.

    Raises:
        KeyError: The run did not measure one of the lines, neither drained nor in the flood.
    """
    medians: Medians = {
        (row["scenario"], row["contestant"], row["coalesced"]): row["median"]
        for row in results["rows"]
        if row["bytes"] == SIZE
    }
    lines = [
        f"| Receiving {SIZE} bytes | Drain | Flood | Drain, coalesced | Flood, coalesced |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, shown in LINES.items():
        if not any((scenario, name, False) in medians for scenario in ("drain", "flood")):
            raise KeyError(f"the run did not measure {name!r}")
        cells = [_cell(medians, scenario, name, coalesced) for scenario, coalesced in COLUMNS]
        lines.append(f"| {' | '.join([shown, *cells])} |")
    return "\n".join(lines) + f"\n\n{_conditions(results)}"


def _cell(medians: Medians, scenario: str, name: str, coalesced: bool) -> str:
    """Return the cost of a datagram, and the loss if it is not 0.0%; empty if it was not measured."""
    # The C loop has another name if it reads coalesced datagrams.
    found = medians.get((scenario, name, coalesced)) or medians.get(
        (scenario, f"{name} + UDP_GRO", coalesced)
    )
    if found is None:
        return ""
    cost, lost = f"{found['cpu_ns']:,.0f} ns", f"{found.get('lost_share', 0):.1%}"
    return cost if lost == "0.0%" else f"{cost}, {lost} lost"


def _conditions(results: dict[str, Any]) -> str:
    machine, rounds = results["machine"], results["plan"]["rounds"]
    text = (
        f"CPU time for each datagram (user and system), median of {rounds} rounds. *Drain* reads a full receive "
        "buffer. *Flood* sends and receives at the same time. *Coalesced*: the sender hands several datagrams to the "
        "kernel at once. *Lean*: no metadata except the sender. The packet engine reads a ring that the kernel fills, "
        "so there is no receive buffer to drain. "
        f"{machine['system']}, {machine['processor']}, {machine['cores']} cores, Python {machine['python']}."
    )
    return textwrap.fill(text, 100)


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
    parser.add_argument("results", type=Path, help="the JSON of a run of `make bench`")
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    README.write_text(publish(results, README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
