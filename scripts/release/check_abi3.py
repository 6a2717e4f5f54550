"""Has abi3audit look whether a wheel keeps to the stable ABI that its name promises: ``check_abi3.py ABI3AUDIT WHEEL``.

abi3audit takes the function by which Python 3.15 asks a module for its contents (PEP 793) for one of Python's that it
does not know; it is the module's own. Anything else that it finds is an error.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_OWN = {"PyModExport__core"}


def findings(report: dict[str, Any]) -> list[str]:
    """Return what ``report`` of abi3audit has against a wheel, as sentences."""
    found = []
    for wheel in report["specs"].values():
        for extension in wheel["wheel"]:
            name, result = extension["name"], extension["result"]
            foreign = sorted(set(result["non_abi3_symbols"]) - _OWN)
            newer = sorted(result["future_abi3_objects"])
            if foreign:
                found.append(f"{name} uses {', '.join(foreign)}, which no stable ABI has")
            if newer or not result["is_abi3_baseline_compatible"]:
                found.append(
                    f"{name} needs Python {result['computed']}, not {result['baseline']}: {', '.join(newer)}"
                )
    return found


def main(abi3audit: str, wheel: str) -> int:
    """Audit ``wheel`` and print what is wrong; returns the exit code."""
    # Its own exit code would tell of the module's own function too, so only the report counts.
    command = [abi3audit, "--strict", "--report", wheel]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    report = json.loads(result.stdout)
    extensions = [extension["name"] for each in report["specs"].values() for extension in each["wheel"]]
    found = findings(report) if extensions else ["there is no extension in it"]
    for finding in found:
        print(f"check_abi3: {Path(wheel).name}: {finding}", file=sys.stderr)
    if not found:
        print(f"check_abi3: {Path(wheel).name}: {', '.join(extensions)} keeps to its ABI")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
