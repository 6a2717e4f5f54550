"""Draw the CPU time for each datagram, drain and flood side by side: `python -m bench.plot RESULTS.json PICTURE`.

This needs matplotlib: `python -m bench.install_competitors` creates an environment that has it, `bench/build/plot`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]  # installed in an environment of its own
from matplotlib import pyplot as plt

_COLOURS = {"C loop": "0.6", "multicast": "C0", "another library": "C1"}
_SCENARIOS = {
    "drain": "Drain: read a full receive buffer",
    "flood": "Flood: send and receive at the same time",
}
# The bytes of a datagram, and whether the sender coalesced: the rows of the picture.
_RUNS = ((100, False), (1316, False), (100, True), (1316, True))

Row = dict[str, Any]


def _owner(row: Row) -> str:
    if row["contestant"].startswith("floor"):
        return "C loop"
    return "multicast" if row["ours"] else "another library"


def _label(row: Row) -> str:
    """Return the text at the end of a bar: nanoseconds, and the loss if there is any."""
    cost, lost = f"{row['median']['cpu_ns']:,.0f} ns", row["median"].get("lost_share", 0)
    return f"{cost}, {lost:.0%} lost" if lost >= 0.005 else cost


def _draw_panel(axis: Any, rows: dict[str, Row], names: list[str]) -> None:
    """Draw a bar for each name in `names`, from the bottom, on a logarithmic scale."""
    for place, name in enumerate(names):
        if row := rows.get(name):
            bar = axis.barh(place, row["median"]["cpu_ns"], color=_COLOURS[_owner(row)])
            axis.bar_label(bar, [_label(row)], padding=3, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.spines[["top", "right"]].set_visible(False)


def _names(drain: dict[str, Row], flood: dict[str, Row]) -> list[str]:
    """Return the readers of a panel, the dearest first: by the drain, then those that only the flood has."""
    only_flood = {name: row for name, row in flood.items() if name not in drain}
    return [
        name
        for rows in (drain, only_flood)
        for name in sorted(rows, key=lambda name: -rows[name]["median"]["cpu_ns"])
    ]


def draw(results: dict[str, Any], picture: Path) -> None:
    """Write the picture of `results`; the suffix of `picture` selects the format."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same numbers give the same file
    chosen: dict[str, dict[tuple[int, bool], dict[str, Row]]] = {scenario: {} for scenario in _SCENARIOS}
    for row in results["rows"]:
        if row["scenario"] in _SCENARIOS:
            run = row["bytes"], row["coalesced"]
            chosen[row["scenario"]].setdefault(run, {})[row["contestant"]] = row
    names = {run: _names(chosen["drain"].get(run, {}), chosen["flood"].get(run, {})) for run in _RUNS}
    # A panel is as high as it has bars.
    heights = [len(names[run]) + 3 for run in _RUNS]
    figure, axes = plt.subplots(
        len(_RUNS), len(_SCENARIOS), figsize=(12, sum(heights) * 0.24), height_ratios=heights, sharex=True,
        sharey="row", layout="constrained",
    )  # fmt: skip
    for line, run in zip(axes, _RUNS, strict=True):
        size, coalesced = run
        for axis, (scenario, title) in zip(line, _SCENARIOS.items(), strict=True):
            _draw_panel(axis, chosen[scenario].get(run, {}), names[run])
            how = "coalesced" if coalesced else "one in each packet"
            axis.set_title(f"{title}\n{size} bytes, {how}", fontsize=9, loc="left")
            axis.set_xlim(10, 300_000)
    for axis in axes[-1]:
        axis.set_xlabel("CPU time for each datagram, ns (logarithmic): shorter is better", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in _COLOURS.values()]
    figure.legend(handles, list(_COLOURS), loc="outside upper right", ncols=len(_COLOURS), fontsize=9)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.plot RESULTS.json PICTURE")
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
