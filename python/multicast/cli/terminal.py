"""A terminal that a command uses as a whole: a screen of its own, and keys. It is given back at the end."""

from __future__ import annotations

import contextlib
import os
import signal

from .keyboard import keyboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType
    from typing import Any

    from typing_extensions import Self

    from .output import Output

# The alternate screen, without a cursor, and back.
_TAKE = b"\x1b[?1049h\x1b[?25l"
_GIVE_BACK = b"\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class Terminal:
    """The terminal of standard output, as a screen that is drawn again and again.

    Use it as a context manager. If Ctrl-Z stops the process, the shell gets its screen; afterwards the command has its
    own again.

    Args:
        out: where to draw.

    Attributes:
        has_keys: whether standard input is a terminal too.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._keyboard = keyboard()
        self._resources = contextlib.ExitStack()
        self._wants_stop = self._was_stopped = False
        self.has_keys = self._keyboard is not None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as resources:
            if self._keyboard is not None:
                resources.enter_context(self._keyboard)
            resources.callback(self._show_other_screen)
            self._out.data(_TAKE)
            if hasattr(signal, "SIGTSTP"):
                for number, handler in (
                    (signal.SIGTSTP, self._note_stop),
                    (signal.SIGCONT, self._note_continue),
                ):
                    resources.callback(signal.signal, number, signal.signal(number, handler))
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def draw(self, lines: list[str]) -> None:
        """Show these lines, which fit the terminal, and nothing else.

        Raises:
            OSError: The terminal cannot be written.
        """
        text = "\n".join(f"{line}{_CLEAR_LINE}" for line in lines)
        self._out.frame(f"{_HOME}{text}{_CLEAR_BELOW}")

    def keys(self) -> list[str]:
        """Return the keys that were pressed since the last call.

        Raises:
            OSError: The terminal cannot be read.
        """
        return [] if self._keyboard is None else self._keyboard.read()

    @contextlib.contextmanager
    def lent(self) -> Generator[None, None, None]:
        """Show the screen of the shell during the block, which may write on it. Draw again afterwards."""
        self._show_other_screen()
        yield
        self._out.data(_TAKE)

    def was_stopped(self) -> bool:
        """Stop the process if Ctrl-Z requests it; return whether it was stopped, and the screen must be drawn again.

        Call it several times a second.
        """
        if self._wants_stop:
            self._wants_stop = False
            self._stop()
        if not self._was_stopped:
            return False
        self._was_stopped = False
        if self._keyboard is not None:
            self._keyboard.resume()
        self._out.data(_TAKE)
        return True

    def _stop(self) -> None:
        self._show_other_screen()
        if self._keyboard is not None:
            self._keyboard.suspend()
        handler: Any = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here the process stops, until SIGCONT.
        signal.signal(signal.SIGTSTP, handler)
        self._was_stopped = True

    def _show_other_screen(self) -> None:
        # A terminal that is gone needs nothing back.
        with contextlib.suppress(OSError):
            self._out.data(_GIVE_BACK)

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._wants_stop = True

    def _note_continue(self, _number: int, _frame: FrameType | None) -> None:
        self._was_stopped = True
