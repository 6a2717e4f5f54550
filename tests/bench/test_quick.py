"""Run the comparison at a small size to keep it working. No time is asserted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone


def python(*arguments: str) -> str:
    """Run Python to its end and return its standard output."""
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return run.stdout


@pytest.mark.private_net
@pytest.mark.timeout(300)
def test_quick_comparison_runs_every_scenario_and_judges_every_target(tmp_path: Path) -> None:
    results, page, costs = (tmp_path / name for name in ("results.json", "benchmarks.md", "costs.md"))
    report = python("-m", "bench", "--quick", "--json", str(results))
    assert re.match(r"\d+ of \d+ measured targets reached", report)
    book = json.loads(results.read_text())
    assert not book["failures"]
    assert sum(row["ours"] for row in book["rows"]) > 10
    # Competitors that are not installed here are absent. None of our own lines is.
    judged = [target for target in book["targets"] if target["verdict"] != "absent"]
    assert len(judged) > 40
    assert all(target["verdict"] in {"pass", "missed"} for target in judged)
    page.write_text(
        "<!-- compared -->old<!-- end of compared --> prose <!-- results -->old<!-- end of results --> after"
    )
    costs.write_text("before <!-- results -->old<!-- end of results --> after")
    python("-m", "bench.publish", str(results), str(page), str(costs))
    headings = re.findall(r"^### (.*)", page.read_text(), re.MULTILINE)
    assert headings == ["Receiving", "Sending", "Servers and groups", "Targets"]
    # The page begins with ratios, the packet engine's included.
    assert re.search(
        r'^\| `engine="packet"`, columns / bare .* \|  \| [\d.]+ \|$', page.read_text(), re.MULTILINE
    )
    # Drain and flood are side by side: one line for each reader.
    assert re.search(
        r"^\| for msg in rx \| 100 \| plain \| [\d,]+ \| [\d,]+ \| [\d,]+ \| [\d.]+% \|$",
        page.read_text(),
        re.MULTILINE,
    )
    cells = next(
        line.split("|") for line in costs.read_text().splitlines() if line.startswith("| for msg in rx |")
    )
    queued_calls, queued_objects, *_, single_calls, _objects = map(float, cells[2:-1])
    # One call takes many datagrams, and each is two objects. A single one is waited for by a call of its own.
    assert queued_calls < 0.1
    assert 1.9 < queued_objects < 2.5
    assert 1.9 < single_calls < 3


@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.usefixtures("hosts")
def test_quick_comparison_of_relays_measures_a_path() -> None:
    head, row = python(
        "-m", "bench.relays", "--quick", "--rounds", "1", "--path", "tunnel: multicast, UDP"
    ).splitlines()
    assert head.split()[0] == "path"
    found = re.fullmatch(r"tunnel: multicast, UDP +(\d+) +(\d+) +(0|1,000|2,000) +\3", row)
    assert found is not None, row
    assert 0 < int(found[1]) <= int(found[2])
