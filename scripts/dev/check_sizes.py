"""Check that files and functions are short: ``python -m scripts.dev.check_sizes [--prune]``.

A Python, Rust or C file, tests included, has at most 450 lines; a Python or Rust function has at most 60. A function is
counted from ``def`` or ``fn`` to its last line, without its docstring, because Rust keeps its documentation outside.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.dev import allowed

FILE_LIMIT = 450
FUNCTION_LIMIT = 60

Function = tuple[str, int, int]
"""The name of a function, its first line and the number of its lines."""

# Comments and literals of Rust, in which braces mean nothing. A lifetime ('a) is not the start of a literal.
_RUST_OPAQUE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n]*?|[^\\'\n])'""",
    re.DOTALL,
)
_RUST_FUNCTION = re.compile(r"\bfn\s+(\w+)")


def python_functions(source: str) -> Iterator[Function]:
    """Yield the functions and methods in a Python source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _lines(node)
            if ast.get_docstring(node, clean=False) is not None:
                lines -= _lines(node.body[0])
            yield node.name, node.lineno, lines


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def rust_functions(source: str) -> Iterator[Function]:
    """Yield the functions with a body in a Rust source."""
    code = _RUST_OPAQUE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    for found in _RUST_FUNCTION.finditer(code):
        end = _end_of_body(code, found.end())
        if end is not None:
            first = code.count("\n", 0, found.start()) + 1
            yield found[1], first, code.count("\n", found.start(), end) + 1


def _end_of_body(code: str, start: int) -> int | None:
    """Return where the body ends of a function whose parameters begin at ``start``; None if it has no body."""
    depth = 0
    for position in range(start, len(code)):
        character = code[position]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0 and character == "}":
                return position
        elif character == ";" and depth == 0:
            return None
    return None


_FUNCTIONS = {".py": python_functions, ".rs": rust_functions}


def findings(path: Path, source: str) -> Iterator[tuple[str, str]]:
    """Yield a subject and a sentence for each file or function in ``source`` that is too long."""
    lines = len(source.splitlines())
    if lines > FILE_LIMIT:
        yield f"{path}", f"{path}:1: file of {lines} lines; the limit is {FILE_LIMIT}"
    if path.suffix in _FUNCTIONS:
        for name, first, length in _FUNCTIONS[path.suffix](source):
            if length > FUNCTION_LIMIT:
                limit = f"function of {length} lines; the limit is {FUNCTION_LIMIT}"
                yield f"{path}::{name}", f"{path}:{first}: {name}: {limit}"


def main() -> int:
    """Check all files; returns the exit code."""
    found: dict[str, list[str]] = {}
    for path in allowed.files(".py", ".pyi", ".rs", ".c"):
        source = (allowed.ROOT / path).read_text(encoding="utf-8")
        for subject, sentence in findings(path, source):
            found.setdefault(subject, []).append(sentence)
    return allowed.report("size", found, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
