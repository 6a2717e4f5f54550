"""The progress of long work, on the last line of a terminal at standard error."""

from __future__ import annotations

import os
import sys
import time

from .output import clear_transient_line, show_transient_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from .output import Output

# Seconds of work before the line appears, and between two changes of it.
_PATIENCE = 1.0
_PERIOD = 0.2
_DEFAULT_COLUMNS = 80
_WIDEST_BAR, _NARROWEST_BAR = 30, 5


class Progress:
    """A line that shows how far the work is, with a bar and the time left if the end is known.

    It appears after one second, and only if standard error is a terminal and the command is not quiet. A line that the
    command prints on standard error replaces it until the next `tick`. A context manager, which removes the line.

    Args:
        out: the output of the command.
        look: returns the work in words, such as "sent 5 datagrams", and the share that is done, from 0 to 1, or None if
            the end is not known.
    """

    def __init__(self, out: Output, look: Callable[[], tuple[str, float | None]]) -> None:
        self._look = look
        self._begun = time.monotonic()
        self._due = self._begun + _PATIENCE if not out.quiet and _can_show() else float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clear_transient_line()

    def tick(self) -> None:
        """Show the progress if it is time to. Call it often: this costs little."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _PERIOD
        text, share = self._look()
        # Some terminals do not say how wide they are. A full line would wrap on others, and so would the ^C after it.
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or _DEFAULT_COLUMNS
        show_transient_line(_line(text, share, now - self._begun, columns - len("^C") - 1))


def _can_show() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _line(text: str, share: float | None, seconds: float, width: int) -> str:
    """Return the line: the text, a bar if there is room for one, the percentage and the time left."""
    if share is None:
        return f"{text}  {_clock(seconds)}"[:width]
    share = min(max(share, 0.0), 1.0)
    rest = f"  {share:4.0%}"
    if share:
        rest += f"  {_clock(seconds / share - seconds)} left"
    room = min(width - len(text) - len(rest) - 4, _WIDEST_BAR)
    bar = ""
    if room >= _NARROWEST_BAR:
        bar = f"  [{'#' * int(room * share):{room}}]"
    return (text + bar + rest)[:width]


def _clock(seconds: float) -> str:
    """Return a time as minutes and seconds, or as hours, minutes and seconds: "0:07", "1:00:00"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
