"""Test standard output and input as the tools use them."""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from multicast._common import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Counting(io.StringIO):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def test_show_each_text_is_one_flushed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Counting()
    monkeypatch.setattr(sys, "stdout", out)
    console.show("one")
    assert (out.getvalue(), out.flushes) == ("one\n", 1)
    console.show("")
    assert (out.getvalue(), out.flushes) == ("one\n\n", 2)


def test_show_character_missing_in_encoding_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    console.show("5 €")
    assert raw.getvalue().splitlines() == [b"5 \\u20ac"]


def test_show_control_characters_on_terminal_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    console.show("\x1b]0;title\x07 a\tb\nc \x9b2J \x7f")
    assert out.getvalue() == "\\x1b]0;title\\x07 a\tb\nc \\x9b2J \\x7f\n"


def test_show_control_characters_in_pipe_are_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console.show("\x1b[0m\0")
    assert out.getvalue() == "\x1b[0m\0\n"


def test_show_without_standard_output_raises_broken_pipe_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(BrokenPipeError, match="standard output is closed"):
        console.show("one")


@pytest.mark.parametrize("kind", [BrokenPipeError, PermissionError])
def test_show_failed_write_raises_same_class_with_message(
    monkeypatch: pytest.MonkeyPatch, kind: type[OSError]
) -> None:
    class Failing(io.StringIO):
        def flush(self) -> None:
            raise kind(32 if kind is BrokenPipeError else 13, "the reason")

    monkeypatch.setattr(sys, "stdout", Failing())
    with pytest.raises(kind, match="cannot write standard output: the reason"):
        console.show("one")


def test_standard_input_always_returns_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for stdin, data in (
        (io.TextIOWrapper(io.BytesIO(b"\xff\x00")), b"\xff\x00"),
        (io.StringIO("é"), "é".encode()),
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        given = console.StandardInput()
        assert (given.read(100), given.read(100, 0.0)) == (data, b"")


def test_standard_input_missing_raises_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="standard input: it is closed"):
        console.StandardInput()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """Standard input that is a pipe, and the descriptor of its other end."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdin", stdin)
        yield stdin, writing
    with contextlib.suppress(OSError):
        os.close(writing)


@pytest.mark.platform("linux", "darwin")
@pytest.mark.parametrize("blocking", [True, False])
def test_standard_input_pipe_is_read_as_it_arrives(pipe: tuple[TextIO, int], blocking: bool) -> None:
    stdin, writing = pipe
    os.set_blocking(stdin.fileno(), blocking)
    given = console.StandardInput()
    os.write(writing, b"one")
    assert given.read(100) == b"one"
    assert given.read(100, 0.01) is None
    os.write(writing, b"twothree")
    assert given.read(3, 10) == b"two"
    assert given.read(100, 10) == b"three"
    waiting = threading.Timer(0.05, lambda: os.write(writing, b"four"))
    waiting.start()
    assert given.read(100) == b"four"
    waiting.join()
    assert given.read(100, 0) is None
    os.close(writing)
    assert given.read(100) == b""
    assert given.read(100, 10) == b""


@pytest.mark.platform("linux", "darwin")
@pytest.mark.parametrize("blocking", [True, False])
def test_standard_input_read_ahead_by_the_program_comes_first(
    pipe: tuple[TextIO, int], blocking: bool
) -> None:
    stdin, writing = pipe
    os.set_blocking(stdin.fileno(), blocking)
    os.write(writing, b"a line\nonetwo")
    assert stdin.buffer.readline() == b"a line\n"
    given = console.StandardInput()
    assert given.read(3) == b"one"
    assert given.read(100, 10) == b"two"
    assert given.read(100, 0.01) is None


def test_standard_input_that_cannot_be_read_raises_os_error_with_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Broken()))
    with pytest.raises(OSError, match="cannot read standard input: Input/output error") as caught:
        console.StandardInput().read(100)
    assert caught.value.errno == 5
