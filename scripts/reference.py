"""Writes the parts of docs/reference that the program itself knows best: `python scripts/reference.py [--check]`.

Those are the help texts and the table of exit codes; each goes between two markers of its page.
With ``--check`` nothing is written, and a part that is out of date is told and gives exit code 1.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from multicast import exceptions

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"


def help_text(command: str) -> str:
    """Return what ``multicast COMMAND --help`` prints on a terminal of 80 columns, without colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MULTICAST_")}
    run = subprocess.run(
        [sys.executable, "-m", "multicast", *command.split(), "--help"],
        env={**kept, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def commands() -> list[str]:
    """Return the names of the commands, as the program's own help lists them."""
    return re.findall(r"^    ([A-Za-z]+) ", help_text(""), re.MULTILINE)


def command_line() -> str:
    """Return a section for the program and for each command, with its help."""
    sections = []
    for command in ["", *commands()]:
        words = f"multicast {command}".strip()
        sections.append(f"## {words}\n\n```text help={command or 'multicast'}\n{help_text(command)}```\n")
    return "\n".join(sections)


def exit_codes() -> str:
    """Return the table of exit codes."""
    lines = ["| Code | Meaning | Exception |", "|---|---|---|"]
    for code, (kind, message) in exceptions.EXIT_CODES.items():
        name = "" if kind is None else f"`{kind.__module__}.{kind.__name__}`".replace("builtins.", "")
        lines.append(f"| `{code}` | {message} | {name} |")
    return "\n".join(lines) + "\n"


PARTS = {
    "command-line": command_line,
    "exit-codes": exit_codes,
}


def brought_up_to_date(name: str) -> tuple[str, str]:
    """Return the text of page ``name`` as it is, and as it should be.

    Raises:
        ValueError: The page lacks a marker.
    """
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    start, stop = text.index(begin) + len(begin), text.index(end)
    return text, f"{text[:start]}\n\n{PARTS[name]()}\n{text[stop:]}"


def main() -> int:
    """Write the parts, or check them; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes the generated parts of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a part is stale")
    check = parser.parse_args().check
    stale = []
    for name in PARTS:
        old, new = brought_up_to_date(name)
        if old != new:
            stale.append(name)
            if not check:
                (PAGES / f"{name}.md").write_text(new, encoding="utf-8")
    for name in stale:
        print(f"docs/reference/{name}.md: {'is out of date' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
