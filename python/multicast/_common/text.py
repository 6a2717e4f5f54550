"""Conversion between payloads and text, without input or output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    class Readable(Protocol):
        """A binary stream that can be read."""

        def read(self, size: int, /) -> bytes:
            """Return up to ``size`` bytes; no bytes mean the end of the stream."""
            ...  # noqa: PIE790 - pyright wants a body


def decode_for_display(payload: bytes) -> str:
    r"""Return ``payload`` decoded as UTF-8, with a backslash escape (``\xff``) for each byte that is not UTF-8."""
    return payload.decode("utf-8", "backslashreplace")


def payload_of(data: str | bytes | Sequence[str]) -> bytes:
    """Return the payload for ``data``: bytes unchanged, text as UTF-8, words joined by spaces.

    Python passes on a command-line word that is not valid text with lone surrogates; it becomes the original bytes.

    Raises:
        TypeError: ``data`` is neither text, bytes nor a sequence of text.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if not isinstance(data, str):
        try:
            data = " ".join(data)
        except TypeError as error:
            raise TypeError(f"data must be text, bytes or a sequence of words, got {data!r:.50}") from error
    return data.encode("utf-8", "surrogateescape")


def chunks(stream: Readable, size: int) -> Iterator[bytes]:
    """Yield ``stream`` in pieces of at most ``size`` bytes, none of which ends inside a UTF-8 character.

    Bytes that are not UTF-8 are cut at ``size``. A character longer than ``size`` bytes is a piece of its own.

    Args:
        stream: the binary stream to read to its end.
        size: the most bytes of a piece, from 1.
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
    """Return the number of bytes before a character that the end of ``held`` cuts off."""
    # A character has at most four bytes, so the first byte of a character that is cut off is one of the last three.
    for back in range(1, min(3, len(held)) + 1):
        byte = held[-back]
        if byte & 0b1100_0000 != 0b1000_0000:  # not a continuation byte: a character begins here
            return len(held) - back if _length(byte) > back else len(held)
    return len(held)


def _length(first: int) -> int:
    """Return the length of the character that begins with byte ``first`` (RFC 3629 section 3)."""
    if 0xC2 <= first <= 0xDF:
        return 2
    if 0xE0 <= first <= 0xEF:
        return 3
    return 4 if 0xF0 <= first <= 0xF4 else 1
