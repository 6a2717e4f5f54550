"""Check the wording of the whole project: ``python -m scripts.dev.check_style [--prune]``.

Prose and names use one plain English, with one term for each thing. This check finds the expressions that the first
version of the project used instead, in documentation, comments, messages and names alike.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.dev import allowed

# What to avoid, as a regular expression, and what to write. A space matches a line break inside a comment as well.
BANNED = {
    r"(?<!\.)octets?": "byte",
    "cards?": "interface",
    "time-outs?|(?:a|an|any|its|no|of|one|that|the|this) time outs?": "timeout",
    "told|tells": "say what is passed, returned or reported, and by what",
    "anew": "again",
    "for ever": "without a limit, or until something happens",
    "in silence": "silently, or say what is not reported",
    "asked for": "requested",
    "whoever": "name the subject",
    "comes to": "say the result",
    "nothing came": "no datagram arrived",
    "as much": "name the amount",
    "modern face": "Receiver API",
    "documented (?:tools?|surface)": "2.x tools",
}
# A sentence that begins with a question word and is not a question.
OPENING = re.compile(
    r"(?:^|[.!?:]\s+|[\"#/*>|-]\s*)(?P<word>Who|Whoever|Whom|Whose|What|Whatever)(?: +|\n[ #/!*]+)[a-z]",
    re.MULTILINE,
)

# Quotations: texts that have to stay as they were published, and this list itself.
EXCEPTIONS = {"docs/faq.md", "scripts/dev/check_style.py", "LICENSE", "THIRD-PARTY-LICENSES.txt"}
# The changelog of published versions stays as it is, from this heading on.
PUBLISHED = re.compile(r"^## \[\d", re.MULTILINE)

_SUFFIXES = (
    ".c",
    ".css",
    ".md",
    ".py",
    ".pyi",
    ".rs",
    ".sh",
    ".svg",
    ".toml",
    ".txt",
    ".yml",
    ".yaml",
    "Makefile",
    "run",
)


def _as_pattern(expression: str) -> re.Pattern[str]:
    """Return what finds ``expression`` as whole words, which may be part of a name in snake_case."""
    words = expression.replace(" ", r"[\s#/!*]+")
    return re.compile(f"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE)


_PATTERNS = {_as_pattern(expression): advice for expression, advice in BANNED.items()}


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and a sentence for each banned expression in ``text``."""
    for pattern, advice in _PATTERNS.items():
        for found in pattern.finditer(text):
            yield _line(text, found.start()), f"{' '.join(found[0].split())!r}: {advice}"
    for found in OPENING.finditer(text):
        # A heading or a cell of a table has no full stop; a question is a good start.
        end = re.search(r"[.?!;]|\n\s*\n|\|", text[found.end() :])
        if end and end[0] in {".", "!", ";"}:
            yield (
                _line(text, found.start("word")),
                f"a sentence begins with {found['word']!r}: name the subject",
            )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def main() -> int:
    """Check all files; returns the exit code."""
    reports: dict[str, list[str]] = {}
    for path in allowed.files(*_SUFFIXES):
        if path.as_posix() in EXCEPTIONS:
            continue
        text = (allowed.ROOT / path).read_text(encoding="utf-8")
        published = PUBLISHED.search(text) if path == Path("CHANGELOG.md") else None
        found = sorted(findings(text[: published.start()] if published else text))
        if found:
            reports[path.as_posix()] = [f"{path}:{line}: {sentence}" for line, sentence in found]
    return allowed.report("style", reports, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
