"""Test the cost of starting the command line."""

from pathlib import Path

import pytest

from tests.support import startup

BOUND = 1.15


@pytest.mark.platform("linux", "darwin")
def test_noop_costs_little_more_than_its_standard_library_imports(tmp_path: Path) -> None:
    base, ours = ["-c", "import socket, argparse, logging"], ["-m", "multicast", "NOOP"]
    assert startup.ratio(ours, base, BOUND, tmp_path) < BOUND
