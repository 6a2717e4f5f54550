"""Check with abi3audit that a wheel uses only the stable ABI in its name: ``check_abi3.py ABI3AUDIT WHEEL``.

The module defines the function that Python 3.15 calls to initialize it (PEP 793). abi3audit does not know this function
and reports it as one of Python's. Every other finding is an error.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_OWN = {"PyModExport__core"}


def findings(report: dict[str, Any]) -> list[str]:
    """Return the findings in a ``report`` of abi3audit, as sentences."""
    found: list[str] = []
    for wheel in report["specs"].values():
        for extension in wheel["wheel"]:
            name, result = extension["name"], extension["result"]
            foreign = sorted(set(result["non_abi3_symbols"]) - _OWN)
            newer = sorted(result["future_abi3_objects"])
            if foreign:
                found.append(f"{name} uses {', '.join(foreign)}, which is not in a stable ABI")
            if newer or not result["is_abi3_baseline_compatible"]:
                found.append(
                    f"{name} needs Python {result['computed']}, not {result['baseline']}: {', '.join(newer)}"
                )
    return found


def main(abi3audit: str, wheel: str) -> int:
    """Audit ``wheel`` and print the findings; return the exit code."""
    # The exit code of abi3audit includes the finding that is no error, so only the report counts.
    command = [abi3audit, "--strict", "--report", wheel]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    report = json.loads(result.stdout)
    extensions = [extension["name"] for each in report["specs"].values() for extension in each["wheel"]]
    found = findings(report) if extensions else ["it contains no extension module"]
    for finding in found:
        print(f"check_abi3: {Path(wheel).name}: {finding}", file=sys.stderr)
    if not found:
        print(f"check_abi3: {Path(wheel).name}: {', '.join(extensions)} uses only its ABI")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
