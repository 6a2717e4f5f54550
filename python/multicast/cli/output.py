"""Standard output and standard error of the command line.

Results go to standard output: as text, or with ``--json`` as one JSON object a line (NDJSON). Everything else goes to
standard error. On a terminal, text is aligned and colored; in a pipe it is plain, one record a line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from ..exceptions import get_exit_code_from_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TextIO

_DEFAULT_COLUMNS = 80
_DEFAULT_LINES = 24
# Control characters would steer the terminal they are shown on: they become escapes there.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
# JSON escapes those below 0x20 everywhere.
_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
_BOLD, _RESET = "\x1b[1m", "\x1b[0m"
_GREEN, _BOLD_RED = "\x1b[32m", "\x1b[1;31m"
# Erases the rest of a line of a terminal.
_ERASE = "\x1b[K"
_has_transient_line = False


class Output:
    """The output of one command.

    Args:
        json: write records as JSON instead of text.
        quiet: write results only, and as little of them as the command can.
        verbose: write more about each result.
        color: ``"always"``, ``"never"``, or ``"auto"`` for a terminal that can show colors, unless the environment
            variable ``NO_COLOR`` is set (https://no-color.org).

    Attributes:
        json: as given.
        quiet: as given.
        verbose: as given.
        is_terminal: whether standard output is a terminal.
        can_redraw: whether it is one that can be drawn again: its type, ``TERM``, is not "dumb".
        colored: whether to write colors.
    """

    def __init__(
        self, *, json: bool = False, quiet: bool = False, verbose: bool = False, color: str = "auto"
    ) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose
        self._encode: Callable[[object], str] | None = None
        out = sys.stdout
        self.is_terminal = out is not None and not out.closed and out.isatty()
        self.can_redraw = self.is_terminal and os.environ.get("TERM") != "dumb"
        self.colored = color == "always" or (
            color == "auto" and self.can_redraw and not os.environ.get("NO_COLOR")
        )

    def line(self, text: str) -> None:
        """Write a line of text, or several, and flush."""
        self._write((self.printable(text, keep="\n\t") if self.is_terminal else text) + "\n")

    def verdict(self, word: str, text: str, *, is_good: bool) -> None:
        """Write a line of text that begins with a word, which is green or red if colors are used, and flush."""
        color = _GREEN if is_good else _BOLD_RED
        painted = f"{color}{self.printable(word)}{_RESET}" if self.colored else self.printable(word)
        self._write(f"{painted}{self.printable(text)}\n")

    def record(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write a JSON object with ``"type": kind`` and these fields on a line of its own, and flush."""
        self.records(kind, [fields])

    def records(self, kind: str, several: Iterable[Mapping[str, object]]) -> None:
        """Write a JSON object as `record` does for each of these fields, all at once."""
        if self._encode is None:
            from json import JSONEncoder  # noqa: PLC0415 - see the top of the package

            # A character that the encoding lacks must become an escape of JSON, not one of Python.
            ensure_ascii = not _is_utf8(standard_output())
            self._encode = JSONEncoder(ensure_ascii=ensure_ascii, separators=(",", ":")).encode
        encode = self._encode
        text = "".join([encode({"type": kind, **fields}) + "\n" for fields in several])
        self._write(text.translate(_JSON_CONTROLS) if self.is_terminal else text)

    def data(self, data: bytes) -> None:
        """Write bytes exactly as they are.

        Raises:
            OSError: Standard output cannot be written.
        """
        _write_bytes(standard_output(), data)

    def frame(self, text: str) -> None:
        """Write text for a terminal, with the control characters in it, and no line feed.

        Raises:
            OSError: Standard output cannot be written.
        """
        self._write(text)

    @staticmethod
    def takes_utf8(data: bytes) -> bool:
        """Return whether ``data`` is text that standard output shows if it is written as it is."""
        if not _is_utf8(standard_output()):
            return data.isascii()
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True

    def remark(self, text: str) -> None:
        """Write a line about the results on standard error, unless quiet."""
        if not self.quiet:
            print_line_to_stderr(text)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Sequence[str]]]) -> None:
        """Write a table for a terminal, in which each cell is a list of lines.

        If the terminal is too narrow, each row becomes a block with one line for each cell.
        """
        printable = [[[self.printable(line) for line in cell] for cell in row] for row in rows]
        widths = [
            max(len(name), *(len(line) for row in printable for line in row[column] or [""]))
            if printable
            else len(name)
            for column, name in enumerate(head)
        ]
        lines: list[str] = []
        if sum(widths) + 2 * (len(widths) - 1) <= terminal_columns():
            lines.append(self._bold(_aligned(head, widths)))
            for row in printable:
                for number in range(max(1, *map(len, row))):
                    cells = [cell[number] if number < len(cell) else "" for cell in row]
                    lines.append(_aligned(cells, widths))
        else:
            for row in printable:
                lines.append(self._bold(" ".join(row[0])))
                lines += [
                    f"  {name.lower()}: {line}" if number == 0 else " " * (len(name) + 4) + line
                    for name, cell in zip(head[1:], row[1:], strict=True)
                    for number, line in enumerate(cell)
                ]
        self._write("\n".join(lines) + "\n")

    @staticmethod
    def printable(text: str, keep: str = "") -> str:
        """Return ``text`` with control characters as escapes, other than those to ``keep``."""
        return text.translate({code: shown for code, shown in _CONTROLS.items() if chr(code) not in keep})

    def _bold(self, text: str) -> str:
        return f"{_BOLD}{text}{_RESET}" if self.colored else text

    @staticmethod
    def _write(text: str) -> None:
        out = standard_output()
        _write_bytes(out, text.encode(out.encoding or "utf-8", "backslashreplace"))


def _write_bytes(out: TextIO, data: bytes) -> None:
    """Write bytes to a text stream, past its buffers: what a signal interrupts is not written a second time."""
    try:
        out.flush()
        buffer = getattr(out, "buffer", None)
        if buffer is None:
            out.write(data.decode(out.encoding or "utf-8"))  # a program has replaced standard output
            return
        raw = getattr(buffer, "raw", buffer)
        rest = memoryview(data)
        while rest:
            written = raw.write(rest)
            if written is None:
                _until_writable(raw.fileno())
            else:
                rest = rest[written:]
    except OSError as error:
        # OSError chooses the subclass by errno, so a broken pipe stays a BrokenPipeError.
        raise OSError(error.errno, f"cannot write standard output: {error.strerror}") from error


def _is_utf8(out: TextIO) -> bool:
    return (out.encoding or "utf-8").lower().replace("-", "") == "utf8"


def _until_writable(descriptor: int) -> None:
    """Wait until a non-blocking descriptor can be written."""
    from select import select  # noqa: PLC0415 - see the top of the package

    select([], [descriptor], [])


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def add_options(parser: argparse.ArgumentParser, *, has_records: bool) -> None:
    """Add the output options that every command has, and ``--json`` if it has records."""
    if has_records:
        parser.add_argument(
            "--json", action="store_true", help="write one JSON object per line instead of text"
        )
    parser.set_defaults(json=False)
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="use colors (default: auto, on a terminal unless NO_COLOR is set)",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="write only the results, in a short form")
    amount.add_argument(
        "-v", "--verbose", action="store_true", help="write more details about results and sockets"
    )


def output_for(options: argparse.Namespace) -> Output:
    """Return the output that the options of `add_options` describe."""
    return Output(json=options.json, quiet=options.quiet, verbose=options.verbose, color=options.color)


def terminal_columns() -> int:
    """Return the width of the terminal, from ``COLUMNS`` or the system; 80 if standard output is not a terminal.

    It is ``shutil.get_terminal_size`` without the import of ``shutil``, which argparse would pay for each option.
    """
    return _terminal_size("COLUMNS", 0, _DEFAULT_COLUMNS)


def terminal_lines() -> int:
    """Return the height of the terminal, from ``LINES`` or the system; 24 if standard output is not a terminal."""
    return _terminal_size("LINES", 1, _DEFAULT_LINES)


def _terminal_size(variable: str, axis: int, default: int) -> int:
    # ValueError: it is no number, or has more digits than Python converts.
    with contextlib.suppress(ValueError):
        size = int(os.environ.get(variable, ""))
        if size > 0:
            return size
    if sys.__stdout__ is not None:
        # ValueError: standard output is closed. OSError: it is not a terminal.
        with contextlib.suppress(ValueError, OSError):
            return os.get_terminal_size(sys.__stdout__.fileno())[axis] or default
    return default


def standard_output() -> TextIO:
    """Return standard output.

    Raises:
        BrokenPipeError: It was closed when the process started.
    """
    if sys.stdout is None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")
    return sys.stdout


def print_line_to_stderr(line: str) -> None:
    """Write ``line`` to standard error, in place of a transient line.

    If standard error cannot be written either, only the exit code reports a failure.
    """
    clear_transient_line()
    # It may name what another host sent, such as the message of a server.
    if sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty():
        line = Output.printable(line, keep="\n\t")
    _write_to_stderr(line + "\n")


def show_transient_line(line: str) -> None:
    """Write ``line`` to the terminal at standard error, in place of the last one; the next line replaces it."""
    global _has_transient_line  # noqa: PLW0603
    _write_to_stderr(f"\r{line}{_ERASE}")
    _has_transient_line = True


def clear_transient_line() -> None:
    """Remove the line of `show_transient_line`, if there is one."""
    global _has_transient_line  # noqa: PLW0603
    if _has_transient_line:
        _has_transient_line = False
        _write_to_stderr(f"\r{_ERASE}")


def start_line_after_interrupt() -> None:
    """Move the terminal at standard error to a new line, because it shows ``^C`` where the cursor was.

    A signal handler may call this: it writes beside the buffer of `sys.stderr`.
    """
    if _has_transient_line:
        # The next line replaces it together with the ``^C``.
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = sys.stderr.fileno()
        if os.isatty(descriptor):
            os.write(descriptor, b"\n")


def _write_to_stderr(text: str) -> None:
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


def flush_stdout(code: int) -> int:
    """Flush standard output and return the exit code: ``code``, or that of a failure to write.

    Otherwise the interpreter would flush at its very end, and report a failure in its own words.
    """
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        # The rest cannot be written anywhere: let the interpreter's own attempt succeed.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if code == 0:
            return report_write_failure(error)
    return code


def report_write_failure(error: OSError) -> int:
    """Print that standard output cannot be written, unless its reader has gone, and return the exit code."""
    if not isinstance(error, BrokenPipeError):
        print_line_to_stderr(
            f"multicast: cannot write standard output: {sentence(error)} (send it somewhere else)"
        )
    return get_exit_code_from_exception(error)


def sentence(error: BaseException) -> str:
    """Return the message of ``error``, without the number that Python puts before a system error."""
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
