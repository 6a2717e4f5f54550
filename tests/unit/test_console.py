"""Standard output and input as the tools use them."""

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


def test_each_text_is_a_line_and_is_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Counting()
    monkeypatch.setattr(sys, "stdout", out)
    console.show("one")
    assert (out.getvalue(), out.flushes) == ("one\n", 1)
    console.show("")
    assert (out.getvalue(), out.flushes) == ("one\n\n", 2)


def test_an_encoding_that_lacks_a_character_gets_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    console.show("5 €")
    assert raw.getvalue().splitlines() == [b"5 \\u20ac"]


def test_the_network_does_not_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    console.show("\x1b]0;title\x07 a\tb\nc \x9b2J \x7f")
    assert out.getvalue() == "\\x1b]0;title\\x07 a\tb\nc \\x9b2J \\x7f\n"


def test_a_pipe_gets_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console.show("\x1b[0m\0")
    assert out.getvalue() == "\x1b[0m\0\n"


def test_an_output_that_was_never_there_is_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(BrokenPipeError, match="standard output is closed"):
        console.show("one")


@pytest.mark.parametrize("kind", [BrokenPipeError, PermissionError])
def test_a_failure_to_write_says_so_and_keeps_its_class(
    monkeypatch: pytest.MonkeyPatch, kind: type[OSError]
) -> None:
    class Failing(io.StringIO):
        def flush(self) -> None:
            raise kind({BrokenPipeError: 32, PermissionError: 13}[kind], "the reason")

    monkeypatch.setattr(sys, "stdout", Failing())
    with pytest.raises(kind, match="cannot write standard output: the reason"):
        console.show("one")


def test_standard_input_is_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\x00")))
    assert console.standard_input().read() == b"\xff\x00"
    monkeypatch.setattr(sys, "stdin", io.StringIO("é"))
    assert console.standard_input().read() == "é".encode()


def test_an_input_that_was_never_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="standard input: it is closed"):
        console.standard_input()
