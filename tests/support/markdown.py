"""Read the code blocks of the documents of the project, so that tests can run them."""

import os
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.private_network import ROOT

RUNNABLE = {"python", "bash"}

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>\S.*)\n(?P<code>(?:.*\n)*?)(?P=indent)```$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block: its place, language and code, and the options that follow the language on the opening fence.

    The options of ``python name=x endless`` are ``{"name": "x", "endless": ""}``.
    """

    path: Path
    line: int
    language: str
    code: str
    options: dict[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return f"{os.fspath(self.path.relative_to(ROOT))}:{self.options.get('name', self.line)}"


def documents() -> list[Path]:
    """Return the documents of the project that may have blocks to run."""
    pages = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *pages]


def runnable_blocks(path: Path) -> list[Block]:
    """Return the blocks of document ``path`` in a language that the tests run, in order."""
    return [block for block in blocks(path) if block.language in RUNNABLE]


def blocks(path: Path) -> list[Block]:
    """Return all fenced blocks of document ``path``, in order."""
    text = path.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split()
        options = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(path, line, language, textwrap.dedent(match["code"]), options))
    return found
