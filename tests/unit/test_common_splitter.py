"""Test how a stream is cut into datagrams."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast._common.splitter import Splitter, split


def reader(data: bytes, most: int = 1000) -> Callable[[int, float | None], bytes]:
    """Return a function that reads ``data``, at most ``most`` bytes at a time, as a pipe may."""
    stream = io.BytesIO(data)
    return lambda size, _: stream.read(min(size, most))


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
    assert list(split(reader(stream), size)) == pieces


@given(st.text(), st.integers(4, 20))
def test_split_of_text_hold_whole_characters_within_size(text: str, size: int) -> None:
    pieces = list(split(reader(text.encode()), size))
    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)


@given(st.binary(), st.integers(1, 20))
def test_split_of_any_bytes_lose_nothing(data: bytes, size: int) -> None:
    pieces = list(split(reader(data), size))
    assert b"".join(pieces) == data
    # A character longer than the size is a piece of its own, of at most four bytes.
    assert all(0 < len(piece) <= max(size, 4) for piece in pieces)


def test_split_short_reads_are_combined() -> None:
    assert list(split(reader(b"abcdefg", most=2), 5)) == [b"abcde", b"fg"]


def slices(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    "tail",
    [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3\xa9", b"\xe2", b"\xf0"],
)
def test_split_binary_stream_is_cut_at_multiples_of_size(tail: bytes) -> None:
    """Bytes that look like the beginning of a character must not move the cut, nor what follows."""
    unit = b"\x47\xff" + b"x" * (20 - 2 - len(tail)) + tail
    assert list(split(reader(unit * 5 + b"rest"), 20)) == [*[unit] * 5, b"rest"]


@pytest.mark.parametrize("tail", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_split_stream_of_packets_is_cut_between_them_from_the_first_on(tail: bytes) -> None:
    """The first packet is text but for its last bytes, which the next packet does not continue."""
    packet = b"G" + b"x" * (20 - 1 - len(tail)) + tail
    assert list(split(reader(packet * 3), 20)) == [packet] * 3


def test_split_stream_that_turns_out_binary_is_aligned_again() -> None:
    text, binary = "xxxé".encode(), b"\xff" * 8
    # The first cut keeps the character whole; the cuts of what follows are at 4, 8 and 12.
    assert list(split(reader(text + binary), 4)) == [
        b"xxx",
        "é".encode()[:1],
        b"\xa9\xff\xff\xff",
        b"\xff" * 4,
        b"\xff",
    ]


@given(st.binary(max_size=100), st.integers(1, 20))
def test_split_after_a_first_invalid_byte_cuts_at_multiples_of_size(data: bytes, size: int) -> None:
    stream = b"\xff" + data
    assert list(split(reader(stream), size)) == slices(stream, size)


@given(st.binary(max_size=60), st.integers(1, 20), st.lists(st.booleans(), min_size=1))
def test_splitter_with_pauses_loses_nothing_and_keeps_binary_streams_aligned(
    data: bytes, size: int, pauses: list[bool]
) -> None:
    stream = b"\xff" + data
    splitter, at, step = Splitter(size), 0, 0
    pieces: list[bytes] = []
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


def test_split_yields_what_it_holds_when_the_stream_pauses() -> None:
    blocks = iter([b"one", None, b"two", b"three", None, b"\xe2", None, b"\x82\xac", b""])
    asked: list[bool] = []

    def read(size: int, patience: float | None) -> bytes | None:
        asked.append(patience is not None)
        return next(blocks)

    assert list(split(read, 100)) == [b"one", b"twothree", "€".encode()]
    # It waits without a limit while it holds nothing that could be sent.
    assert asked == [False, True, False, True, True, False, True, False, True]
