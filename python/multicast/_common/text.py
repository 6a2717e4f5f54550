"""Payloads as text and text as payloads. Pure: nothing is sent, received or printed here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    class Readable(Protocol):
        """A binary stream to read from."""

        def read(self, size: int, /) -> bytes:
            """Return up to ``size`` bytes, and none only at the end."""


def decode_for_display(payload: bytes) -> str:
    r"""Return ``payload`` as text: UTF-8, with a backslash escape (``\xff``) for each byte that is none."""
    return payload.decode("utf-8", "backslashreplace")


def payload_of(data: str | bytes | Sequence[str]) -> bytes:
    """Return what to send for ``data``: bytes as they are, text as UTF-8, words joined by a space.

    A word of the command line that was no valid text comes in with lone surrogates and goes out as the bytes it was.

    Raises:
        TypeError: ``data`` is neither text, bytes nor a sequence of text.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if not isinstance(data, str):
        try:
            data = " ".join(data)
        except TypeError as problem:
            raise TypeError(f"data is text, bytes or words, not {data!r:.50}") from problem
    return data.encode("utf-8", "surrogateescape")


def chunks(stream: Readable, size: int) -> Iterator[bytes]:
    """Yield all of ``stream`` in pieces of at most ``size`` bytes (from 1), none of which ends inside a character.

    What is no UTF-8 is cut at ``size``. A character of more than ``size`` bytes is a piece of its own.
    """
    held = b""
    while block := stream.read(max(1, size - len(held))):
        held += block
        if len(held) < size:
            continue
        end = _whole_characters(held)
        if end:
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _whole_characters(held: bytes) -> int:
    """Return how many bytes of ``held`` come before a character that its end cuts off."""
    # A character has at most four bytes, so the first byte of one that is cut off is among the last three.
    for back in range(1, min(3, len(held)) + 1):
        byte = held[-back]
        if byte & 0b1100_0000 != 0b1000_0000:  # not inside a character: this byte begins one
            return len(held) - back if _length(byte) > back else len(held)
    return len(held)


def _length(first: int) -> int:
    """Return how many bytes the character has that begins with byte ``first`` (RFC 3629 section 3)."""
    if 0xC2 <= first <= 0xDF:
        return 2
    if 0xE0 <= first <= 0xEF:
        return 3
    return 4 if 0xF0 <= first <= 0xF4 else 1
