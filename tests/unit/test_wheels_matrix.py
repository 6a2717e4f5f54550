"""Test the table of ``scripts/release/wheels-matrix.sh`` with interpreters that only pretend to build and to test."""

import subprocess
from pathlib import Path

import pytest

from tests.support.private_network import ROOT

pytestmark = pytest.mark.platform("linux")

# Named after its version. Its venv has the same interpreter, and pip refuses the wheel if the version is in `refused`.
INTERPRETER = """#!/bin/bash
me=$(cat "${0%/*}/version" 2>/dev/null) || me=${0##*/python}
case "$*" in
  -c*) echo "$me" ;;
  "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "$me" >"$3/bin/version" ;;
  *" wheel "*) touch build/matrix/wheels/multicast-3-cp311-abi3-linux_x86_64.whl ;;
  *--force-reinstall*) ! grep -qx "$me" refused ;;
  *pytest*) echo "1 passed" ;;
esac
"""


@pytest.mark.parametrize(("refused", "without"), [("", []), ("3.11", ["3.11"])])
def test_wheels_matrix_reports_each_python_that_no_wheel_fits(
    refused: str, without: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "scripts" / "release" / "wheels-matrix.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes((ROOT / "scripts" / "release" / script.name).read_bytes())
    (tmp_path / "refused").write_text(refused)
    # The row of 3.10 names 3.11 too, which built the wheel.
    interpreters = [tmp_path / f"python{version}" for version in ("3.10", "3.11")]
    for interpreter in interpreters:
        interpreter.write_text(INTERPRETER)
        interpreter.chmod(0o755)
    done = subprocess.run(
        ["bash", script, *interpreters], capture_output=True, text=True, timeout=20, check=False
    )
    _, _, table = done.stdout.partition("built with")
    rows = {line.split()[0]: line for line in table.splitlines() if line.startswith("3.")}
    assert sorted(rows) == ["3.10", "3.11"], done.stderr
    assert [version for version, row in rows.items() if row.endswith("FAILED: no wheel fits")] == without
    assert done.returncode == bool(without)
