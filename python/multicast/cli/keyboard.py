"""Keys of the terminal, one by one. The only place that reads them, on each system."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

_NAMES = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1b[4~": "end",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}
# A terminal sends several characters for some keys.
_KEY = r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|."


def keys_in(text: str) -> list[str]:
    """Return the keys that a terminal sends as ``text``: characters, and names such as "up" and "enter".

    Other keys that send several characters are left out.
    """
    import re  # noqa: PLC0415 - see the top of the package

    sent: list[str] = re.findall(_KEY, text, re.DOTALL)
    found = [_NAMES.get(one, one) for one in sent]
    return [key for key in found if key in _NAMES.values() or len(key) == 1]


if sys.platform == "win32":
    _CODES = {"H": "up", "P": "down", "I": "page up", "Q": "page down", "G": "home", "O": "end"}

    class Keyboard:
        """The keys of the console."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def resume(self) -> None:
            """Take the keyboard again after `suspend`."""

        def suspend(self) -> None:
            """Give the keyboard back."""

        def read(self) -> list[str]:
            """Return the keys that were pressed since the last call, without waiting."""
            import msvcrt  # noqa: PLC0415 - see the top of the package

            keys: list[str] = []
            while msvcrt.kbhit():
                character = msvcrt.getwch()
                # Two characters stand for a key without text.
                keys += [_CODES.get(msvcrt.getwch(), "")] if character in "\x00\xe0" else keys_in(character)
            return keys

else:

    class Keyboard:
        """The keys of the terminal on standard input: without echo, and without waiting for the end of a line.

        Ctrl-C and Ctrl-Z remain signals.
        """

        def __init__(self) -> None:
            import codecs  # noqa: PLC0415 - see the top of the package

            self._descriptor = sys.stdin.fileno()
            self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
            self._before: list[Any] = []

        def __enter__(self) -> Self:
            import termios  # noqa: PLC0415 - see the top of the package

            self._before = termios.tcgetattr(self._descriptor)
            self.resume()
            return self

        def __exit__(self, *_: object) -> None:
            self.suspend()

        def resume(self) -> None:
            """Take the keyboard again after `suspend`, or after a shell has used the terminal."""
            import tty  # noqa: PLC0415 - see the top of the package

            tty.setcbreak(self._descriptor)

        def suspend(self) -> None:
            """Give the terminal back as it was."""
            import contextlib  # noqa: PLC0415 - see the top of the package
            import termios  # noqa: PLC0415 - likewise

            # A terminal that is gone needs nothing back.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)

        def read(self) -> list[str]:
            """Return the keys that were pressed since the last call, without waiting; "q" if the terminal is gone."""
            import os  # noqa: PLC0415 - see the top of the package
            import select  # noqa: PLC0415 - likewise

            text = ""
            while select.select([self._descriptor], [], [], 0)[0]:
                data = os.read(self._descriptor, 1024)
                if not data:
                    return ["q"]
                text += self._decoder.decode(data)
            return keys_in(text)


def keyboard() -> Keyboard | None:
    """Return the keyboard; None if standard input is not a terminal."""
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        return None
    return Keyboard()
