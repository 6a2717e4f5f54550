"""`python -m bench.publish RESULTS.json PAGE.md`: puts the numbers of a run between the two markers of a page.

What is not here: measuring, and the picture (`plot.py`).
"""

import json
import sys
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def tables(results: dict[str, Any]) -> str:
    """The machine, the verdicts and the median costs, in Markdown."""
    machine = results["machine"]
    where = f"{machine['system']}, {machine['cores']} cores, Python {machine['python']}"
    lines = [
        f"{where}; medians of {results['plan']['rounds']} rounds.",
        "",
        "| what | against | measured | must be | |",
        "|---|---|---|---|---|",
    ]
    for target in results["targets"]:
        must = f"{'at least' if target['at_least'] else 'at most'} {target['limit']:g}"
        lines.append(
            f"| {target['what']} | {target['against']} | {_cell(target['measured'])} | {must} | {target['verdict']} |"
        )
    lines += [
        "",
        "| run | contestant | bytes | sent | CPU ns a datagram | lost |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        median = row["median"]
        if "cpu_ns" in median:
            sent = "coalesced" if row["coalesced"] else "plain"
            lost = f"{median['lost_share']:.1%}" if "lost_share" in median else ""
            what = f"| {row['scenario']} | {row['contestant']} | {row['bytes']} | {sent} "
            lines.append(f"{what}| {median['cpu_ns']:,.0f} | {lost} |")
    return "\n".join(lines)


def publish(results: dict[str, Any], page: str) -> str:
    """`page` with the text between its markers replaced by the tables of `results`.

    Raises:
        ValueError: a marker is missing, or they are the wrong way round.
    """
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    if end < start:
        raise ValueError(f"{END!r} stands before {BEGIN!r}")
    return f"{page[:start]}\n\n{tables(results)}\n\n{page[end:]}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.publish RESULTS.json PAGE.md")
    target = Path(sys.argv[2])
    target.write_text(publish(json.loads(Path(sys.argv[1]).read_text()), target.read_text()))
