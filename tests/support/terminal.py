"""A terminal for a program, and the screen that the program draws on it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Any

from tests.support.programs import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

TAKEN, GIVEN_BACK = "\x1b[?1049h", "\x1b[?1049l"
HOME, END = "\x1b[H", "\x1b[J"


class OnTerminal:
    """A program on a terminal of its own, which is its controlling terminal.

    Attributes:
        output: what it has written so far.
        process: the process.
    """

    def __init__(
        self, *command: str, columns: int = 80, lines: int = 24, env: dict[str, str] | None = None
    ) -> None:
        self.output = ""
        self._ours, self._theirs = os.openpty()
        self._descriptors: tuple[int, ...] = (self._ours, self._theirs)
        self.resize(columns, lines)
        self.before = self.modes()
        # They would override the size of the terminal.
        inherited = environment(**{"TERM": "xterm-256color", "PYTHONUTF8": "1", **(env or {})})
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={name: value for name, value in inherited.items() if name not in ("COLUMNS", "LINES")},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Take the terminal away."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = ()

    def modes(self) -> list[Any]:
        """Return the modes of the terminal."""
        return termios.tcgetattr(self._theirs)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def screen(self) -> list[str]:
        """Return the lines of the last screen that was drawn completely, without colors."""
        return plain(self.output.rpartition(END)[0].rpartition(HOME)[2]).splitlines()

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
        """Read what the program writes until a condition holds.

        Raises:
            AssertionError: It does not hold in time.
        """
        end = time.monotonic() + seconds
        while not condition():
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {what} on the terminal: {self.screen()} {self.output[-2000:]!r}"
            self.output += os.read(self._ours, 65536).decode("utf-8", "replace")

    def until_shown(self, text: str) -> None:
        """Read until a screen shows a text."""
        self.until(lambda: any(text in line for line in self.screen()), text)

    def finish(self) -> int:
        """Read until the program ends; return the exit code that shells report."""
        while self.process.poll() is None:
            self._drain(0.05)
        self._drain(0.0)
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    def _drain(self, seconds: float) -> None:
        while select.select([self._ours], [], [], seconds)[0]:
            self.output += os.read(self._ours, 65536).decode("utf-8", "replace")


def plain(text: str) -> str:
    """Return a text without the sequences that control a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
