"""Conversion between payloads and text, without input or output."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import, and the help of `multicast send` loads this module
if TYPE_CHECKING:
    from collections.abc import Sequence


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
