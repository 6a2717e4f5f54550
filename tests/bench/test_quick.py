"""The comparison runs: at a small size, so that it cannot rot. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.private_net
@pytest.mark.timeout(300)
def test_every_scenario_runs_and_every_line_is_judged(tmp_path: Path) -> None:
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
    # The peers that this environment lacks are absent; nothing of ours is.
    judged = [target for target in book["targets"] if target["verdict"] != "absent"]
    assert len(judged) > 30
    assert all(target["verdict"] in {"pass", "short"} for target in judged)
