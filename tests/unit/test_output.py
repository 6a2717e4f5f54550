"""The output of commands: lines, tables, JSON, and where remarks go."""

import io
import json
import sys

import pytest

from multicast.cli.output import Output, terminal_columns


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard output a terminal of 80 columns, and return it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


def test_control_characters_are_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    out = Output(color="never")
    out.line("one\x1b[2J\ttwo\nthree\x9b")
    out.table(["NAME"], [[["a\x1b[31m\nb"]]])
    assert terminal.getvalue() == "one\\x1b[2J\ttwo\nthree\\x9b\nNAME\na\\x1b[31m\\x0ab\n"


def test_pipe_gets_the_text_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    Output().line("one\x1b[2J")
    assert capsys.readouterr().out == "one\x1b[2J\n"


def test_record_is_a_line_that_begins_with_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.record("thing", {"name": "é\n", "none": None, "list": [1, 2]})
    line = capsys.readouterr().out
    assert line == '{"type":"thing","name":"é\\n","none":null,"list":[1,2]}\n'
    assert json.loads(line)["list"] == [1, 2]


def test_control_characters_in_json_are_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    Output(json=True).record("thing", {"text": "\x1b[2J\x7f\x9b2Jé"})
    line = terminal.getvalue()
    assert line == '{"type":"thing","text":"\\u001b[2J\\u007f\\u009b2Jé"}\n'
    assert json.loads(line)["text"] == "\x1b[2J\x7f\x9b2Jé"


def test_json_in_another_encoding_stays_json(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Output(json=True).record("thing", {"text": "é€"})
    assert json.loads(raw.getvalue())["text"] == "é€"


def test_remark_on_a_terminal_has_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    Output().remark("refused: \x1b[2J\x9b")
    assert terminal.getvalue() == "refused: \\x1b[2J\\x9b\n"


def test_character_that_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Output().line("5 €")
    assert raw.getvalue().splitlines() == [b"5 \\u20ac"]


def test_remarks_go_to_standard_error_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    Output().remark("one")
    Output(quiet=True).remark("two")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "one\n")


def test_empty_table_is_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    Output(color="always").table(["A", "LONGER"], [])
    assert terminal.getvalue() == "\x1b[1mA  LONGER\x1b[0m\n"


def test_cells_of_several_lines_stay_in_their_column(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    Output(color="never").table(["A", "B", "C"], [[["1"], ["x", "yy"], []], [["22"], [], ["z"]]])
    assert terminal.getvalue() == "A   B   C\n1   x\n    yy\n22      z\n"


def test_output_that_was_closed_from_the_start_is_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    out = Output()
    assert not out.is_terminal
    with pytest.raises(BrokenPipeError):
        out.line("one")


@pytest.mark.parametrize("columns", ["9" * 5000, "0", "-5", "wide", "", "１２０"])
def test_columns_of_the_environment_are_used_or_ignored(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "__stdout__", None)
    assert terminal_columns() == (120 if columns == "１２０" else 80)
