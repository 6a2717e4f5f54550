"""Where bench keeps what it builds, and which interpreter runs which contestant.

What is not here: running anything, but for the C compiler.
"""

import subprocess
import sys
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "bench" / "build"

Home = Literal["here", "competitors", "published"]
"""Whose packages a Python contestant sees: this environment's, the neighbours' or the published release's."""

PACKAGES: dict[str, list[str]] = {
    "competitors": ["multicast_expert", "uvloop"],
    # The release that this project replaces; it shares our import name, hence an environment of its own.
    "published": ["multicast==2.1.1"],
    # No contestant: draws the picture.
    "plot": ["matplotlib"],
}


def interpreter(home: Home) -> Path | None:
    """The Python of `home`, or None where `python -m bench.install_competitors` has not made it."""
    if home == "here":
        return Path(sys.executable)
    python = BUILD / home / "bin" / "python"
    return python if python.exists() else None


def floor() -> Path:
    """The compiled floor, built by `cc` when it is absent or older than its source.

    Raises:
        subprocess.CalledProcessError: the compiler refused.
        FileNotFoundError: there is no `cc`.
    """
    source, binary = ROOT / "bench" / "floor.c", BUILD / "floor"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(binary), str(source)],
            check=True,
        )
    return binary
