"""The folder of what bench builds, and the interpreter that runs each contestant.

Nothing is run here except the C compiler.
"""

import subprocess
import sys
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "bench" / "build"

Home = Literal["here", "competitors", "published"]
"""The packages that a Python contestant uses: this environment's, the competitors' or the published release's."""

PACKAGES: dict[str, list[str]] = {
    "competitors": ["multicast_expert", "uvloop"],
    # The release that this project replaces. It has the same import name, so it needs an environment of its own.
    "published": ["multicast==2.1.1"],
    # Not a contestant: it draws the picture.
    "plot": ["matplotlib"],
}


def interpreter(home: Home) -> Path | None:
    """Return the Python of `home`, or None if `python -m bench.install_competitors` has not created it."""
    if home == "here":
        return Path(sys.executable)
    python = BUILD / home / "bin" / "python"
    return python if python.exists() else None


def floor() -> Path:
    """Return the compiled floor, after compiling it with `cc` if it is missing or older than its source.

    Raises:
        subprocess.CalledProcessError: The compiler failed.
        FileNotFoundError: There is no `cc`.
    """
    return _compiled("floor.c", BUILD / "floor")


def counter() -> Path:
    """Return the library that counts calls, compiled as the floor is.

    Raises:
        subprocess.CalledProcessError: The compiler failed.
        FileNotFoundError: There is no `cc`.
    """
    return _compiled("counter.c", BUILD / "counter.so", "-fPIC", "-shared")


def _compiled(name: str, binary: Path, *options: str) -> Path:
    source = ROOT / "bench" / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", *options]
        subprocess.run([*command, "-o", str(binary), str(source)], check=True)
    return binary
