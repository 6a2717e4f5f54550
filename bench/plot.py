"""`python -m bench.plot RESULTS.json PICTURE`: CPU time a datagram, a bar a contestant. Needs matplotlib.

`python -m bench.install_competitors` makes an environment that has it: `bench/build/plot`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]  # lives in an environment of its own
from matplotlib import pyplot as plt

# Bars are told apart by whose they are; the floor is what nobody can beat.
_FLOOR, _OURS, _PEER = "0.55", "C0", "C1"
_PANELS = ((100, False), (1316, False), (100, True), (1316, True))


def _colour(row: dict[str, Any]) -> str:
    if row["contestant"].startswith("floor"):
        return _FLOOR
    return _OURS if row["ours"] else _PEER


def draw(results: dict[str, Any], picture: Path) -> None:
    """Write the drain measurements of `results` as bar charts; the suffix of `picture` chooses the format."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same numbers give the same file
    figure, axes = plt.subplots(2, 2, figsize=(13, 8), layout="constrained")
    for axis, (size, coalesced) in zip(axes.flat, _PANELS, strict=True):
        rows = [
            row
            for row in results["rows"]
            if (row["scenario"], row["bytes"], row["coalesced"]) == ("drain", size, coalesced)
        ]
        rows.sort(key=lambda row: row["median"]["cpu_ns"], reverse=True)
        costs = [row["median"]["cpu_ns"] for row in rows]
        bars = axis.barh([row["contestant"] for row in rows], costs, color=[_colour(row) for row in rows])
        axis.bar_label(bars, fmt="{:,.0f}", padding=3)
        axis.set_title(f"{size} bytes, {'coalesced by the sender' if coalesced else 'one datagram a packet'}")
        axis.set_xlabel("CPU ns a datagram: less is better")
        axis.locator_params(axis="x", nbins=5)
        axis.margins(x=0.15)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.plot RESULTS.json PICTURE")
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
