"""Compare two wheels byte for byte: ``compare_wheels.py ONE.whl OTHER.whl``; the exit code is 1 if they differ."""

import sys
import zipfile
from pathlib import Path


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the names and the contents of the files in ``wheel``."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main(one: Path, other: Path) -> int:
    """Compare the two wheels and print each difference; return the exit code."""
    if one.name != other.name:
        print(f"compare_wheels: the names differ: {one.name} and {other.name}", file=sys.stderr)
        return 1
    first, second = contents(one), contents(other)
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    for name in differing:
        print(f"compare_wheels: differs: {name}", file=sys.stderr)
    if differing:
        return 1
    print(f"compare_wheels: {one.name}: both contain the same {len(first)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
