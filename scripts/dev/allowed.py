"""The findings that `make lint` still allows: ``scripts/dev/allow.txt``, a list that can only shrink.

An entry is a line ``CHECK PATTERN``, for example ``style docs/index.md`` or ``style docs/*``. A finding whose subject
matches is not reported; an entry without a finding is an error, so that what has been mended stays mended.
"""

import fnmatch
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("allow.txt")


def files(*suffixes: str) -> list[Path]:
    """Return the project's files whose names end in one of ``suffixes``, as paths relative to its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    paths = [Path(name) for name in listed.split("\0") if name.endswith(suffixes)]
    # A file that was deleted but not yet committed is still listed.
    return sorted(path for path in paths if (ROOT / path).is_file())


def entries(check: str, text: str) -> set[str]:
    """Return the patterns that ``text``, the content of the list, allows for ``check``."""
    words = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return {pattern for name, pattern in words if name == check}


def report(check: str, findings: Mapping[str, Sequence[str]], arguments: Sequence[str]) -> int:
    """Print the findings that are not allowed and the entries that are not needed.

    Args:
        check: The name of the check, the first word of its entries.
        findings: A list of sentences for each subject.
        arguments: The command line; with ``--prune`` the entries that are not needed are deleted.

    Returns:
        The exit code: 0 if there is nothing to print.
    """
    listed = LIST.read_text(encoding="utf-8")
    allowed = entries(check, listed)
    unneeded: set[str] = {pattern for pattern in allowed if not fnmatch.filter(findings, pattern)}
    if "--prune" in arguments:
        gone = {f"{check} {pattern}" for pattern in unneeded}
        kept = [line for line in listed.splitlines(keepends=True) if line.rstrip("\n") not in gone]
        LIST.write_text("".join(kept), encoding="utf-8")
        unneeded.clear()
    lines = [
        line
        for subject in sorted(findings)
        if not any(fnmatch.fnmatchcase(subject, pattern) for pattern in allowed)
        for line in findings[subject]
    ]
    lines += [
        f"scripts/dev/allow.txt: remove '{check} {pattern}': not needed" for pattern in sorted(unneeded)
    ]
    print("".join(f"{line}\n" for line in lines), end="", file=sys.stderr)
    return 1 if lines else 0
