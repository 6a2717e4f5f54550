"""Cutting a stream of bytes into datagrams, without input or output."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# Seconds. Long enough for a program that writes a larger stream, short enough for a person who watches.
_PATIENCE = 0.1


class Splitter:
    """Cut a stream into pieces of at most ``size`` bytes.

    A stream of UTF-8 text is cut between characters; a character longer than ``size`` is a piece of its own. From the
    first byte that is not UTF-8 on, the stream is binary, and is cut at multiples of ``size`` from its beginning. So
    the cuts in a stream of fixed units, such as MPEG-TS, always fall between the same units.

    Args:
        size: the most bytes of a piece, from 1.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = b""
        self._yielded = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_text = True
        # The place before a character that `size` cuts off, while the rest of the character has not arrived.
        self._cut = 0

    @property
    def room(self) -> int:
        """How many bytes to feed at most, from 1."""
        # One byte at a time completes a character that is cut off.
        return max(1, self._limit - len(self._held))

    @property
    def holds(self) -> bool:
        """Whether bytes are held that do not fill a piece."""
        return bool(self._held)

    @property
    def _limit(self) -> int:
        return self._size if self._is_text else self._size - self._yielded % self._size

    @property
    def _cut_off(self) -> int:
        """The number of bytes at the end that begin a character which has not arrived as a whole."""
        return len(self._decoder.getstate()[0]) if self._is_text else 0

    def feed(self, block: bytes) -> list[bytes]:
        """Take the next bytes of the stream, at most `room`, and return the pieces that they complete."""
        self._held += block
        if self._is_text:
            try:
                self._decoder.decode(block)
            except UnicodeDecodeError:
                self._is_text = False
        pieces: list[bytes] = []
        while len(self._held) >= self._limit:
            if self._cut_off:
                self._cut = len(self._held) - self._cut_off
                break
            end = (self._cut or len(self._held)) if self._is_text else self._limit
            pieces.append(self._take(end))
        return pieces

    def pause(self) -> list[bytes]:
        """Return what is held, except for a character that is cut off: nothing more arrives for now."""
        end = len(self._held) - self._cut_off
        return [self._take(end)] if end else []

    def finish(self) -> list[bytes]:
        """Return what is held: the stream has ended."""
        pieces = [self._take(self._cut)] if self._cut else []
        return [*pieces, self._take(len(self._held))] if self._held else pieces

    def _take(self, end: int) -> bytes:
        piece, self._held = self._held[:end], self._held[end:]
        self._yielded += end
        self._cut = 0
        return piece


def split(read: Callable[[int, float | None], bytes | None], size: int) -> Iterator[bytes]:
    """Yield a stream in pieces of at most ``size`` bytes, as `Splitter` cuts it.

    A piece that is not full is yielded when nothing more arrives for 0.1 s, so a slow stream is live.

    Args:
        read: gets a number of bytes and a number of seconds (None: no limit), and returns at most so many bytes; no
            bytes at the end of the stream; or None if there are none in that time.
        size: the most bytes of a piece, from 1.
    """
    splitter = Splitter(size)
    patience: float | None = None
    while (block := read(splitter.room, patience)) != b"":
        if block is None:
            yield from splitter.pause()
            patience = None
        else:
            yield from splitter.feed(block)
            patience = _PATIENCE if splitter.holds else None
    yield from splitter.finish()
