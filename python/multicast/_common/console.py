"""Standard output and standard input, as the tools use them. What is printed and sent is decided elsewhere."""

from __future__ import annotations

import errno
import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

# What arrives from the network must not steer the terminal it is shown on: control characters other than tab and
# line feed become escapes there.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def show(text: str) -> None:
    """Write ``text`` and a line feed to standard output, at once.

    A character that the output's encoding lacks is written as a backslash escape.

    Raises:
        BrokenPipeError: nobody reads standard output, or it was closed from the start.
        OSError: it cannot be written, as on a full disk.
    """
    out = sys.stdout
    if out is None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")
    if out.isatty():
        text = text.translate(_CONTROLS)
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        out.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        out.flush()
    except OSError as problem:
        # The errno picks the class: a broken pipe stays one.
        raise OSError(problem.errno, f"cannot write standard output: {problem.strerror}") from problem


def standard_input() -> BinaryIO:
    """Return standard input as a stream of bytes.

    Raises:
        OSError: it was closed from the start (``EBADF``).
    """
    if sys.stdin is None:
        raise OSError(
            errno.EBADF, "cannot read standard input: it is closed (give the words after --message)"
        )
    # A program may have put a text stream of its own there, which has no bytes beneath.
    return getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode())
