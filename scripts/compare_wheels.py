"""Compares two wheels: ``compare_wheels.py ONE.whl OTHER.whl``, exit code 1 where they differ.

The compiled module may differ in its bytes, since two build folders leave two sets of paths in it: its name
has to be the same. ``RECORD`` follows from the rest.
"""

import sys
import zipfile
from pathlib import Path


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files in ``wheel`` with their bytes, empty for those that are compared by name only."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: b"" if by_name_only(name) else archive.read(name) for name in archive.namelist()}


def by_name_only(name: str) -> bool:
    """Tell whether the bytes of file ``name`` may differ."""
    return name.endswith((".so", ".pyd", ".dist-info/RECORD"))


def main(one: Path, other: Path) -> int:
    """Compare the two wheels and print each difference; returns the exit code."""
    if one.name != other.name:
        print(f"compare_wheels: two names: {one.name} and {other.name}", file=sys.stderr)
        return 1
    first, second = contents(one), contents(other)
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    for name in differing:
        print(f"compare_wheels: differs: {name}", file=sys.stderr)
    if differing:
        return 1
    print(f"compare_wheels: {one.name}: the same {len(first)} files in both")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
