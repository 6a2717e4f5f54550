"""Run the comparison at a small size to keep it working. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.private_net
@pytest.mark.timeout(300)
def test_quick_comparison_runs_every_scenario_and_judges_every_target(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(results)],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    book = json.loads(results.read_text())
    assert not book["failures"]
    assert sum(row["ours"] for row in book["rows"]) > 10
    # Competitors that are not installed here are absent. None of our own lines is.
    judged = [target for target in book["targets"] if target["verdict"] != "absent"]
    assert len(judged) > 30
    assert all(target["verdict"] in {"pass", "short"} for target in judged)
