"""Words of the command line to the keywords that a tool is called with. Nothing is sent or opened."""

import os
from pathlib import Path
from typing import Any

import pytest

from multicast import cli

COMMON = {"is_std": False, "is_daemon": False}
WHERE = {"port": 59595, "group": None, "groups": None, "iface": None}
LISTEN = {**COMMON, **WHERE, "timeout": 1.0}
SAY = {**COMMON, **WHERE, "ttl": 1}


def keywords(*words: str) -> tuple[str, dict[str, Any]]:
    options = cli.parse(words)
    return options.command, cli.keywords(options)


@pytest.mark.parametrize(
    ("words", "command", "expected"),
    [
        ("NOOP", "NOOP", COMMON),
        ("RECV", "RECV", LISTEN),
        ("HEAR", "HEAR", {**LISTEN, "reply": True, "stop": True}),
        ("HEAR --no-reply --no-stop", "HEAR", {**LISTEN, "reply": False, "stop": False}),
        ("--daemon --use-std RECV", "RECV", {**LISTEN, "is_daemon": True, "is_std": True}),
        ("RECV --daemon --use-std", "RECV", {**LISTEN, "is_daemon": True, "is_std": True}),
        ("--daemon RECV --use-std", "RECV", {**LISTEN, "is_daemon": True, "is_std": True}),
        ("RECV --port 1 --timeout 0.5", "RECV", {**LISTEN, "port": 1, "timeout": 0.5}),
        ("RECV --group 239.1.2.3 --iface 2", "RECV", {**LISTEN, "group": "239.1.2.3", "iface": "2"}),
        ("RECV --groups 239.1.1.1 ff02::1", "RECV", {**LISTEN, "groups": ["239.1.1.1", "ff02::1"]}),
        ("SAY -m Hello World", "SAY", {**SAY, "data": ["Hello World"]}),
        ("SAY --ttl 0 --message -", "SAY", {**SAY, "ttl": 0, "data": ["-"]}),
        ("SAY --ttl 255 --pipe", "SAY", {**SAY, "ttl": 255, "data": ["-"]}),
        ("SAY --message=Hello", "SAY", {**SAY, "data": ["Hello"]}),
        ("SAY -m rm -rf -- --port 5", "SAY", {**SAY, "data": ["rm -rf -- --port 5"]}),
        ("SAY -m --", "SAY", {**SAY, "data": ["--"]}),
        ("SAY --port 65535 -m -m", "SAY", {**SAY, "port": 65535, "data": ["-m"]}),
    ],
)
def test_words_become_keywords(words: str, command: str, expected: dict[str, Any]) -> None:
    assert keywords(*words.split()) == (command, expected)


def test_the_message_keeps_its_words_apart() -> None:
    assert keywords("SAY", "-m", "two  spaces", "", "end")[1]["data"] == ["two  spaces  end"]
    assert keywords("SAY", "-m", "")[1]["data"] == [""]


def test_only_say_has_a_message() -> None:
    with pytest.raises(SystemExit):
        cli.parse(["RECV", "-m", "hello"])


def test_debug_is_the_command_lines_own() -> None:
    assert cli.parse(["NOOP", "--debug"]).debug is True
    assert cli.parse(["--debug", "NOOP"]).debug is True
    assert cli.parse(["NOOP"]).debug is False
    assert "debug" not in keywords("--debug", "NOOP")[1]


@pytest.mark.parametrize(
    ("problem", "line", "code"),
    [
        (OSError(19, "cannot use eth9 (interfaces here: lo)"), "cannot use eth9 (interfaces here: lo)", 2),
        (PermissionError(13, "cannot bind"), "cannot bind (add --debug to see where)", 77),
        (ValueError("two\nlines"), "two lines (see 'multicast RECV --help')", 65),
        (KeyError(), "KeyError (add --debug to see where)", 70),
    ],
)
def test_a_failure_is_one_line(
    capsys: pytest.CaptureFixture[str], problem: BaseException, line: str, code: int
) -> None:
    assert cli.report(problem, cli.parse(["RECV"])) == code
    assert capsys.readouterr().err == f"multicast RECV: {line}\n"


@pytest.mark.parametrize(
    ("problem", "code"),
    [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141), (SystemExit(143), 143), (SystemExit("x"), 2)],
)
def test_an_end_from_outside_is_no_failure(
    capsys: pytest.CaptureFixture[str], problem: BaseException, code: int
) -> None:
    assert cli.report(problem, cli.parse(["RECV"])) == code
    assert capsys.readouterr().err == ""


def test_debug_shows_the_way_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.report(ValueError("bad"), cli.parse(["RECV", "--debug"])) == 65
    err = capsys.readouterr().err
    assert err.startswith("ValueError: bad\nmulticast RECV: bad")


@pytest.mark.parametrize("columns", ["40", "200"])
def test_the_help_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as caught:
        cli.parse(["--help"])
    assert caught.value.code == 0
    widths = [len(line) for line in capsys.readouterr().out.splitlines()]
    assert 0 < max(widths) <= int(columns)
    assert (max(widths) > 40) == (columns == "200")


def test_an_output_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        # The device is Linux's; elsewhere a full disk would have to be made.
        pytest.skip("there is no /dev/full here")
    with full.open("w") as out:
        monkeypatch.setattr("sys.stdout", out)
        out.write("lost")
        assert cli.settle_output(0) == 2
        # What is left now goes nowhere: closing the file writes it.
        assert os.fstat(out.fileno()).st_rdev == Path(os.devnull).stat().st_rdev
    assert (
        capsys.readouterr().err
        == "multicast: cannot write standard output: No space left on device (send it somewhere else)\n"
    )
