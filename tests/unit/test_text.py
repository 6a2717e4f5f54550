"""Payloads to text and back, and how standard input is cut into datagrams."""

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
def test_what_is_no_utf_8_is_shown_escaped(payload: bytes, text: str) -> None:
    assert text_module.decode_for_display(payload) == text


@given(st.binary().filter(lambda payload: b"\\x" not in payload))
def test_any_bytes_can_be_shown(payload: bytes) -> None:
    text = text_module.decode_for_display(payload).encode()
    # Undoing the escapes of what was no UTF-8 gives back every byte.
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
def test_what_is_sent_for_each_kind_of_data(data: str | bytes, payload: bytes) -> None:
    assert text_module.payload_of(data) == payload


@pytest.mark.parametrize("data", [5, None, [1, 2], [b"a"]])
def test_other_kinds_are_refused(data: str) -> None:
    with pytest.raises(TypeError, match="data is text, bytes or words, not "):
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
def test_pieces_end_between_characters(stream: bytes, size: int, pieces: list[bytes]) -> None:
    assert list(text_module.chunks(io.BytesIO(stream), size)) == pieces


@given(st.text(), st.integers(4, 20))
def test_text_arrives_in_whole_characters_within_the_size(text: str, size: int) -> None:
    pieces = list(text_module.chunks(io.BytesIO(text.encode()), size))
    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)


@given(st.binary(), st.integers(1, 20))
def test_nothing_is_lost_of_any_bytes(data: bytes, size: int) -> None:
    pieces = list(text_module.chunks(io.BytesIO(data), size))
    assert b"".join(pieces) == data
    # A character that is longer than the size is a piece of its own: four bytes at most.
    assert all(0 < len(piece) <= max(size, 4) for piece in pieces)


class Dribble(io.RawIOBase):
    """A stream that gives less than it is asked for, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def read(self, size: int = -1) -> bytes:
        given, self._rest = self._rest[: min(size, 2)], self._rest[min(size, 2) :]
        return given


def test_a_piece_is_filled_from_several_reads() -> None:
    assert list(text_module.chunks(Dribble(b"abcdefg"), 5)) == [b"abcde", b"fg"]
