"""Standard output and standard input, as the 2.x tools use them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import BinaryIO, TextIO

# Text from the network must not control the terminal it is shown on: control characters other than tab and line feed
# are shown as escapes.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def show(*texts: str) -> None:
    """Write each of ``texts`` and a line feed to standard output, and flush it once.

    A character that the output's encoding lacks is written as a backslash escape.

    Raises:
        BrokenPipeError: Nobody reads standard output, or it was closed when the process started.
        OSError: Standard output cannot be written, for example because the disk is full.
    """
    with _standard_output() as out:
        text = "\n".join((*texts, ""))
        if out.isatty():
            text = text.translate(_CONTROLS)
        encoding = getattr(out, "encoding", None) or "utf-8"
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        out.flush()


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def write(data: bytes) -> None:
    """Write bytes to standard output as they are, and flush it.

    Raises:
        BrokenPipeError: Nobody reads standard output, or it was closed when the process started.
        OSError: Standard output cannot be written, for example because the disk is full.
    """
    with _standard_output() as out:
        out.flush()
        out.buffer.write(data)
        out.buffer.flush()


@contextlib.contextmanager
def _standard_output() -> Generator[TextIO, None, None]:
    """Yield standard output, and let the errors of writing name it."""
    out = sys.stdout
    if out is None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")
    try:
        yield out
    except OSError as error:
        # OSError chooses the subclass by errno, so a broken pipe stays a BrokenPipeError.
        raise OSError(error.errno, f"cannot write standard output: {error.strerror}") from error


class StandardInput:
    """Standard input as a stream of bytes, read as they arrive. It may be non-blocking.

    Raises:
        OSError: Standard input was closed when the process started (``EBADF``).
    """

    def __init__(self) -> None:
        if sys.stdin is None:
            raise OSError(
                errno.EBADF, "cannot read standard input: it is closed (give the words after --message)"
            )
        # A program may have replaced sys.stdin by a text stream that has no bytes underneath.
        self._stream: BinaryIO = getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode())
        self._descriptor = _descriptor(self._stream)
        # Bytes that were read ahead come first. The stream can be waited for only once it holds nothing more.
        self._is_drained = False

    def read(self, size: int, patience: float | None = None) -> bytes | None:
        """Return at most ``size`` bytes, as soon as there are any.

        Args:
            size: the most bytes to return, from 1.
            patience: seconds to wait; None waits without a limit. Systems without ``poll`` (Windows) do not wait at all
                if it is given and the last read brought less than its size.

        Returns:
            The bytes, no bytes at the end of the stream, or None if there are none within ``patience``.

        Raises:
            OSError: Standard input cannot be read; ``errno`` says why.
        """
        try:
            if self._is_drained and patience is not None and not self._until_readable(patience):
                return None
            while (block := self._read_now(size)) is None:
                if not self._until_readable(patience):
                    return None
        except OSError as error:
            raise OSError(error.errno, f"cannot read standard input: {error.strerror}") from error
        self._is_drained = self._is_drained or len(block) < size
        return block

    def _read_now(self, size: int) -> bytes | None:
        """Return what one read gives, no bytes at the end, or None if a non-blocking stream has none now."""
        block: bytes = getattr(self._stream, "read1", self._stream.read)(size)
        raw = getattr(self._stream, "raw", None)
        if block or raw is None or self._descriptor is None or _is_blocking(self._descriptor):
            return block
        # A buffered reader returns no bytes in both cases. A terminal must not be asked again after its end.
        more: bytes | None = raw.read(size)
        return more

    def _until_readable(self, seconds: float | None) -> bool:
        if self._descriptor is None:
            return True
        if not hasattr(select, "poll"):
            return seconds is None
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


def _is_blocking(descriptor: int) -> bool:
    return not hasattr(os, "get_blocking") or os.get_blocking(descriptor)


def _descriptor(stream: BinaryIO) -> int | None:
    """Return the descriptor of ``stream``, or None if it has none, as a stream in memory."""
    try:
        return stream.fileno()
    except OSError:
        return None
