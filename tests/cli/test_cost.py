"""What starting the command line costs."""

from pathlib import Path

import pytest

from tests.support import startup

BOUND = 1.15


@pytest.mark.platform("linux", "darwin")
def test_noop_costs_little_more_than_the_imports_it_cannot_do_without(tmp_path: Path) -> None:
    base, ours = ["-c", "import socket, argparse, logging"], ["-m", "multicast", "NOOP"]
    assert startup.ratio(ours, base, BOUND, tmp_path) < BOUND
