"""Write the generated parts of docs/reference: ``python scripts/docs/reference.py [--check]``.

A generated part stands between the markers ``<!-- NAME -->`` and ``<!-- end of NAME -->`` of a page. NAME is
``exit-codes``, ``help`` for the program, or ``help COMMAND``. With ``--check``, nothing is written, and an outdated
part gives exit code 1.
"""

import argparse
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from multicast import exceptions

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"
_PART = re.compile(
    r"(?<=<!-- )(?P<name>exit-codes|help(?: \w+)?) -->\n(?P<text>.*?)<!-- end of (?P=name)(?= -->)", re.DOTALL
)
# An option or command at the start of a line, with its help on the same line or below.
_ARGUMENT = re.compile(r"^ {2,4}(?P<name>\S+(?: \S+)*)(?: {2,}(?P<help>\S.*))?$")
# Characters in a line of a usage text.
_USAGE_WIDTH = 46


@dataclass
class Help:
    """A help text of argparse, taken apart."""

    usage: str
    arguments: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Arguments, options and commands, each with its help."""
    epilog: list[str] = field(default_factory=list[str])
    """The paragraphs after the last argument."""


def help_text(command: str) -> str:
    """Return what ``multicast COMMAND --help`` prints on a terminal of 80 columns, without colors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MULTICAST_")}
    run = subprocess.run(
        [sys.executable, "-m", "multicast", *command.split(), "--help"],
        env={**kept, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    # Since Python 3.13, a value is printed once: "-m, --message ..." instead of "-m ..., --message ...".
    return re.sub(r"(-\w) (\S+), (--[\w-]+) \2", r"\1, \3 \2", run.stdout)


def commands() -> list[str]:
    """Return the names of the commands, as the program's help lists them."""
    return re.findall(r"^    (\w+) ", help_text(""), re.MULTILINE)


def parse_help(text: str) -> Help:
    """Split a help text of argparse into its parts."""
    usage, *rest = text.strip().split("\n\n")
    result = Help(" ".join(usage.removeprefix("usage:").split()))
    for paragraph in rest:
        lines = paragraph.splitlines()
        if not (lines[0].endswith(":") and lines[1:]):
            # Before the arguments stands the description, and the page has its own.
            if result.arguments:
                result.epilog.append(_with_code(" ".join(paragraph.split())))
            continue
        for line in lines[1:]:
            if match := _ARGUMENT.match(line):
                result.arguments.append((match["name"], match["help"] or ""))
            else:
                name, words = result.arguments.pop()
                result.arguments.append((name, f"{words} {line.strip()}".strip()))
    return result


def command_help(command: str) -> str:
    """Return the reference of one command, or of the program: its usage, arguments and epilog."""
    parsed = parse_help(help_text(command))
    lines = ["```text", *_wrapped_usage(parsed.usage), "```", "", "| Argument | Meaning |", "|---|---|"]
    # A placeholder, such as that of the command, has no help of its own.
    lines += [f"| `{name}` | {_cell(words)} |" for name, words in parsed.arguments if words]
    lines += [line for paragraph in parsed.epilog for line in ("", *textwrap.wrap(paragraph, 100))]
    return "\n".join(lines) + "\n"


def _wrapped_usage(usage: str) -> list[str]:
    """Return the lines of a usage text, broken between its parts, short enough for a narrow screen."""
    parts = re.findall(r"\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]|\S+", usage)
    lines = [""]
    for part in parts:
        # A long choice of options is broken before each of them.
        choices = part.split(" | ") if len(part) > _USAGE_WIDTH else [part]
        for choice in [choices[0], *(f"| {other}" for other in choices[1:])]:
            if len(lines[-1]) + len(choice) > _USAGE_WIDTH:
                lines.append("   ")
            lines[-1] = f"{lines[-1]} {choice}" if lines[-1] else choice
    return lines


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return _with_code(re.sub(r"([|*_<])", r"\\\1", text))


def _with_code(text: str) -> str:
    """Return a text with its options set as code; otherwise, their hyphens would become a dash."""
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", text)


def exit_codes() -> str:
    """Return the table of exit codes."""
    lines = ["| Code | Meaning | Exception |", "|---|---|---|"]
    for code, (kind, message) in exceptions.EXIT_CODES.items():
        name = "" if kind is None else f"`{kind.__module__}.{kind.__name__}`".replace("builtins.", "")
        lines.append(f"| `{code}` | {message} | {name} |")
    return "\n".join(lines) + "\n"


def generate(name: str) -> str:
    """Return the text of the part ``name``: ``exit-codes``, ``help`` or ``help COMMAND``."""
    return exit_codes() if name == "exit-codes" else command_help(name.removeprefix("help").strip())


def parts(page: Path) -> dict[str, str]:
    """Return the generated parts of a page as they are, by name."""
    return {
        match["name"]: match["text"].strip() for match in _PART.finditer(page.read_text(encoding="utf-8"))
    }


def update(page: Path, *, check: bool) -> bool:
    """Write the generated parts of a page, unless ``check``; return whether one was outdated."""
    old = page.read_text(encoding="utf-8")
    new = _PART.sub(
        lambda part: f"{part['name']} -->\n\n{generate(part['name'])}\n<!-- end of {part['name']}", old
    )
    if old != new and not check:
        page.write_text(new, encoding="utf-8")
    return old != new


def main() -> int:
    """Update or check all pages; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated parts of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a part is outdated")
    check = parser.parse_args().check
    outdated = [page.name for page in sorted(PAGES.glob("*.md")) if update(page, check=check)]
    for name in outdated:
        print(f"docs/reference/{name}: {'is outdated' if check else 'written'}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
