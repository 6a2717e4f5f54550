"""Test standard output and input as the tools use them."""

import io
import sys

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
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\x00")))
    assert console.standard_input().read() == b"\xff\x00"
    monkeypatch.setattr(sys, "stdin", io.StringIO("é"))
    assert console.standard_input().read() == "é".encode()


def test_standard_input_missing_raises_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="standard input: it is closed"):
        console.standard_input()
