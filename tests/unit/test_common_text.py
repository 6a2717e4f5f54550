"""Test payloads as text and back, and how standard input is split into datagrams."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast._common import text as text_module


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", ""),
        (b"plain", "plain"),
        ("naïve €😀".encode(), "naïve €😀"),
        (b"\xff\x00a", "\\xff\x00a"),
        (b"cut \xe2\x82", "cut \\xe2\\x82"),
        (b"C:\\new", "C:\\new"),
    ],
)
def test_decode_for_display_invalid_utf8_is_escaped(payload: bytes, text: str) -> None:
    assert text_module.decode_for_display(payload) == text


@given(st.binary().filter(lambda payload: b"\\x" not in payload))
def test_decode_for_display_any_bytes_can_be_restored(payload: bytes) -> None:
    text = text_module.decode_for_display(payload).encode()
    # Undoing the escapes restores every byte.
    assert re.sub(rb"\\x([0-9a-f]{2})", lambda code: bytes.fromhex(code[1].decode()), text) == payload


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("héllo", "héllo".encode()),
        (b"\xff\x00", b"\xff\x00"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (["Hello", "big", "World"], b"Hello big World"),
        (("a", "b"), b"a b"),
        (["a", ""], b"a "),
        ([], b""),
        ("", b""),
        ("\udcff", b"\xff"),
    ],
)
def test_payload_of_each_data_type_returns_bytes(data: str | bytes, payload: bytes) -> None:
    assert text_module.payload_of(data) == payload


@pytest.mark.parametrize("data", [5, None, [1, 2], [b"a"]])
def test_payload_of_other_type_raises_type_error(data: str) -> None:
    with pytest.raises(TypeError, match="data must be text, bytes or a sequence of words, got "):
        text_module.payload_of(data)


@pytest.mark.parametrize(
    ("stream", "size", "pieces"),
    [
        (b"", 4, []),
        (b"abc", 4, [b"abc"]),
        (b"abcd", 4, [b"abcd"]),
        (b"abcdefghi", 4, [b"abcd", b"efgh", b"i"]),
        ("abc€d".encode(), 4, [b"abc", "€d".encode()]),
        ("ab€".encode(), 4, [b"ab", "€".encode()]),
        ("aé".encode(), 2, [b"a", "é".encode()]),
        ("€€".encode(), 1, ["€".encode(), "€".encode()]),
        (b"\xff\xfe\xfd\xfc\xfb", 2, [b"\xff\xfe", b"\xfd\xfc", b"\xfb"]),
        (b"\x80\x80\x80\x80\x80", 4, [b"\x80\x80\x80\x80", b"\x80"]),
        (b"abc\xf0\x9f", 4, [b"abc", b"\xf0\x9f"]),
    ],
)
def test_chunks_end_between_characters(stream: bytes, size: int, pieces: list[bytes]) -> None:
    assert list(text_module.chunks(io.BytesIO(stream), size)) == pieces


@given(st.text(), st.integers(4, 20))
def test_chunks_of_text_hold_whole_characters_within_size(text: str, size: int) -> None:
    pieces = list(text_module.chunks(io.BytesIO(text.encode()), size))
    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)


@given(st.binary(), st.integers(1, 20))
def test_chunks_of_any_bytes_lose_nothing(data: bytes, size: int) -> None:
    pieces = list(text_module.chunks(io.BytesIO(data), size))
    assert b"".join(pieces) == data
    # A character longer than the size is a chunk of its own, of at most four bytes.
    assert all(0 < len(piece) <= max(size, 4) for piece in pieces)


class Dribble(io.RawIOBase):
    """A stream that returns fewer bytes than requested, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def read(self, size: int = -1) -> bytes:
        given, self._rest = self._rest[: min(size, 2)], self._rest[min(size, 2) :]
        return given


def test_chunks_short_reads_are_combined() -> None:
    assert list(text_module.chunks(Dribble(b"abcdefg"), 5)) == [b"abcde", b"fg"]
