"""Test how a stream is cut into datagrams."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast._common.splitter import Splitter, split


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
def test_split_end_between_characters(stream: bytes, size: int, pieces: list[bytes]) -> None:
    assert list(split(io.BytesIO(stream).read, size)) == pieces


@given(st.text(), st.integers(4, 20))
def test_split_of_text_hold_whole_characters_within_size(text: str, size: int) -> None:
    pieces = list(split(io.BytesIO(text.encode()).read, size))
    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)


@given(st.binary(), st.integers(1, 20))
def test_split_of_any_bytes_lose_nothing(data: bytes, size: int) -> None:
    pieces = list(split(io.BytesIO(data).read, size))
    assert b"".join(pieces) == data
    # A character longer than the size is a piece of its own, of at most four bytes.
    assert all(0 < len(piece) <= max(size, 4) for piece in pieces)


class Dribble(io.RawIOBase):
    """A stream that returns fewer bytes than requested, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def read(self, size: int = -1) -> bytes:
        given, self._rest = self._rest[: min(size, 2)], self._rest[min(size, 2) :]
        return given


def test_split_short_reads_are_combined() -> None:
    assert list(split(Dribble(b"abcdefg").read, 5)) == [b"abcde", b"fg"]


def slices(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    "tail",
    [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3\xa9", b"\xe2", b"\xf0"],
)
def test_split_binary_stream_is_cut_at_multiples_of_size(tail: bytes) -> None:
    """Bytes that look like the beginning of a character must not move the cut, nor what follows."""
    unit = b"\x47\xff" + b"x" * (20 - 2 - len(tail)) + tail
    assert list(split(io.BytesIO(unit * 5 + b"rest").read, 20)) == [*[unit] * 5, b"rest"]


@pytest.mark.parametrize("tail", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_split_stream_of_packets_is_cut_between_them_from_the_first_on(tail: bytes) -> None:
    """The first packet is text but for its last bytes, which the next packet does not continue."""
    packet = b"G" + b"x" * (20 - 1 - len(tail)) + tail
    assert list(split(io.BytesIO(packet * 3).read, 20)) == [packet] * 3


def test_split_stream_that_turns_out_binary_is_aligned_again() -> None:
    text, binary = "xxxé".encode(), b"\xff" * 8
    # The first cut keeps the character whole; the cuts of what follows are at 4, 8 and 12.
    assert list(split(io.BytesIO(text + binary).read, 4)) == [
        b"xxx",
        "é".encode()[:1],
        b"\xa9\xff\xff\xff",
        b"\xff" * 4,
        b"\xff",
    ]


@given(st.binary(max_size=100), st.integers(1, 20))
def test_split_after_a_first_invalid_byte_cuts_at_multiples_of_size(data: bytes, size: int) -> None:
    stream = b"\xff" + data
    assert list(split(io.BytesIO(stream).read, size)) == slices(stream, size)


@given(st.binary(max_size=60), st.integers(1, 20), st.lists(st.booleans(), min_size=1))
def test_splitter_with_pauses_loses_nothing_and_keeps_binary_streams_aligned(
    data: bytes, size: int, pauses: list[bool]
) -> None:
    stream = b"\xff" + data
    splitter, pieces, at, step = Splitter(size), [], 0, 0
    while at < len(stream):
        block = stream[at : at + splitter.room]
        pieces += splitter.feed(block)
        at += len(block)
        if pauses[step % len(pauses)]:
            pieces += splitter.pause()
        step += 1
    pieces += splitter.finish()
    assert b"".join(pieces) == stream
    ends = {sum(map(len, pieces[: number + 1])) for number in range(len(pieces))}
    assert set(range(size, len(stream), size)) <= ends


def test_splitter_pause_yields_text_without_a_character_that_is_cut_off() -> None:
    splitter = Splitter(10)
    assert list(splitter.feed(b"one \xe2\x82")) == []
    assert list(splitter.pause()) == [b"one "]
    assert list(splitter.pause()) == []
    assert list(splitter.feed(b"\xac two")) == []
    assert list(splitter.pause()) == ["€ two".encode()]
    assert list(splitter.finish()) == []
