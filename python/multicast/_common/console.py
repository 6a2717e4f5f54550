"""Standard output and standard input, as the 2.x tools use them."""

from __future__ import annotations

import errno
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

# Text from the network must not control the terminal it is shown on: control characters other than tab and line feed
# are shown as escapes.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def show(text: str) -> None:
    """Write ``text`` and a line feed to standard output, and flush it.

    A character that the output's encoding lacks is written as a backslash escape.

    Raises:
        BrokenPipeError: Nobody reads standard output, or it was closed when the process started.
        OSError: Standard output cannot be written, for example because the disk is full.
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
    except OSError as error:
        # OSError chooses the subclass by errno, so a broken pipe stays a BrokenPipeError.
        raise OSError(error.errno, f"cannot write standard output: {error.strerror}") from error


def standard_input() -> BinaryIO:
    """Return standard input as a stream of bytes.

    Raises:
        OSError: Standard input was closed when the process started (``EBADF``).
    """
    if sys.stdin is None:
        raise OSError(
            errno.EBADF, "cannot read standard input: it is closed (give the words after --message)"
        )
    # A program may have replaced sys.stdin by a text stream that has no bytes underneath.
    return getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode())
