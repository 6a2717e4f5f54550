"""Write THIRD-PARTY-LICENSES.txt, the licenses of the crates that are linked into the compiled module.

``third_party_licenses.py`` writes the file; with ``--check`` it exits with 1 if the file is out of date. The file lists
the crates of all systems for which wheels are built, so it is the same on each of them. Crates that are used only
during the build (procedural macros, build scripts, tests) are not in the wheel, so they are not in the file.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "THIRD-PARTY-LICENSES.txt"
_RULE = "=" * 80
_HEAD = f"""\
The compiled module of this package has parts of others linked into it. Each was taken under the MIT license, where
its authors leave the choice.

{_RULE}
The Rust standard library: MIT OR Apache-2.0
Copyright (c) The Rust Project Contributors. The MIT license as below.
"""


def metadata() -> dict[str, Any]:
    """Return the metadata of all packages, for all systems, from cargo."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    result = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    known: dict[str, Any] = json.loads(result.stdout)
    return known


def linked(known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the third-party packages that are linked into the compiled module, sorted by name."""
    packages = {package["id"]: package for package in known["packages"]}
    edges = {node["id"]: node["deps"] for node in known["resolve"]["nodes"]}
    waiting = [identity for identity, package in packages.items() if package["name"] == "multicast-py"]
    seen: set[str] = set()
    while waiting:
        identity = waiting.pop()
        kinds = {kind for target in packages[identity]["targets"] for kind in target["kind"]}
        if identity in seen or "proc-macro" in kinds:
            continue
        seen.add(identity)
        waiting += [
            edge["pkg"] for edge in edges[identity] if any(each["kind"] is None for each in edge["dep_kinds"])
        ]
    # A package without a source belongs to this project.
    foreign = [packages[identity] for identity in seen if packages[identity]["source"]]
    yield from sorted(foreign, key=lambda package: (package["name"], package["version"]))


def license_text(package: dict[str, Any]) -> str:
    """Return the text of the MIT license that ``package`` contains.

    Raises:
        LookupError: The package is not under the MIT license or contains no text of it; a person has to decide.
    """
    name, expression = package["name"], package["license"] or ""
    if "MIT" not in expression.replace("(", " ").replace(")", " ").replace("/", " OR ").split(" OR "):
        raise LookupError(f"{name} is under {expression!r}; this script handles the MIT license only")
    folder = Path(package["manifest_path"]).parent
    files = [path for path in sorted(folder.iterdir()) if path.name.lower() in {"license-mit", "license"}]
    if not files:
        raise LookupError(f"{name} contains no text of its license")
    return "\n".join(line.rstrip() for line in files[-1].read_text("utf-8").strip().splitlines())


def text() -> str:
    """Return the content of the file."""
    parts = [_HEAD]
    for package in linked(metadata()):
        head = f"{package['name']} {package['version']}: {package['license']}\n{package['repository']}"
        parts.append(f"{_RULE}\n{head}\n\n{license_text(package)}\n")
    return "\n".join(parts)


def main() -> int:
    """Write or check the file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if the file is out of date"
    )
    arguments = parser.parse_args()
    wanted = text()
    if not arguments.check:
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    if not TARGET.exists() or TARGET.read_text("utf-8") != wanted:
        print(
            f"{TARGET.name} is out of date: run `python scripts/release/third_party_licenses.py`",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
