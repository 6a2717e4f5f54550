"""Test the cost of starting the command line."""

from pathlib import Path

import pytest

from tests.support import startup

pytestmark = pytest.mark.alone

BASE = ["-c", "import socket, argparse, logging"]


@pytest.mark.platform("linux", "darwin")
@pytest.mark.parametrize(
    ("words", "bound"),
    [
        (["NOOP"], 1.15),
        (["--help"], 1.5),
        (["help"], 1.5),
        (["listen", "--help"], 2.0),
        (["ping", "--help"], 2.0),
        (["relay", "--help"], 2.0),
    ],
    ids=str,
)
def test_start_costs_little_more_than_its_standard_library_imports(
    words: list[str], bound: float, tmp_path: Path
) -> None:
    assert startup.ratio(["-m", "multicast", *words], BASE, bound, tmp_path) < bound
