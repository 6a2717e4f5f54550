"""Compare the table of wheels in docs/install.md with the builds of cibuildwheel.

``check_build_matrix.py CIBUILDWHEEL`` prints the builds of each system and exits with 1 if the two differ.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TABLE = ROOT / "docs" / "install.md"
# The columns of the table, and the part of the build identifiers that follows the version.
_COLUMNS = {
    "Linux, glibc 2.28+": "manylinux_",
    "Linux, musl 1.2+": "musllinux_",
    "macOS": "macosx_",
    "Windows": "win_",
}
_SYSTEMS = ("linux", "macos", "windows")


def documented(page: str) -> set[str]:
    """Return the build identifiers in the table on ``page``: ``cp311-manylinux_x86_64`` and so on."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in page.splitlines()
        if "|" in line
    ]
    head = next(row for row in rows if row[0] == "Python" and set(_COLUMNS) <= set(row))
    found: set[str] = set()
    for row in rows[rows.index(head) + 2 :]:
        version = row[0].replace(".", "")
        for column, prefix in _COLUMNS.items():
            cell = row[head.index(column)]
            found |= {
                f"cp{version}-{prefix}{machine.strip()}" for machine in cell.split(",") if machine.strip()
            }
    return found


def configured(cibuildwheel: str, system: str) -> list[str]:
    """Return the identifiers of the builds of ``cibuildwheel`` for ``system``, in its order."""
    command = [cibuildwheel, "--print-build-identifiers", "--platform", system, str(ROOT)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def main(cibuildwheel: str) -> int:
    """Compare and print the differences; return the exit code."""
    planned: set[str] = set()
    for system in _SYSTEMS:
        builds = configured(cibuildwheel, system)
        print(f"{system}: {' '.join(builds)}")
        planned.update(builds)
    listed = documented(_TABLE.read_text("utf-8"))
    for identifier in sorted(planned ^ listed):
        where = "pyproject.toml only" if identifier in planned else "docs/install.md only"
        print(f"check_build_matrix: {identifier} is in {where}", file=sys.stderr)
    return 1 if planned != listed or not listed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
