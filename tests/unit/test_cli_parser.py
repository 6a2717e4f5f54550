"""Test how the command line becomes the keywords of a tool, and how errors are reported. Nothing is opened."""

import os
from pathlib import Path
from typing import Any

import pytest

from multicast.cli import errors, output, parser

COMMON: dict[str, Any] = {"is_std": False, "is_daemon": False}
WHERE = {"port": 59595, "group": None, "groups": None, "iface": None}
LISTEN: dict[str, Any] = {**COMMON, **WHERE, "source": [], "exclude": [], "timeout": 1.0}
SAY: dict[str, Any] = {**COMMON, **WHERE, "ttl": 1, "loopback": True}


def keywords(*words: str) -> tuple[str, dict[str, Any]]:
    options = parser.parse(words)
    return options.command, parser.keywords(options)


@pytest.mark.parametrize(
    ("words", "command", "expected"),
    [
        ("NOOP", "NOOP", COMMON),
        ("RECV", "RECV", LISTEN),
        ("HEAR", "HEAR", {**LISTEN, "reply": True, "stop": True, "raw": False}),
        (
            "HEAR --no-reply --no-stop --raw",
            "HEAR",
            {**LISTEN, "reply": False, "stop": False, "raw": True},
        ),
        ("--daemon --use-std RECV", "RECV", {**LISTEN, "is_daemon": True, "is_std": True}),
        ("RECV --daemon --use-std", "RECV", {**LISTEN, "is_daemon": True, "is_std": True}),
        ("--daemon RECV --use-std", "RECV", {**LISTEN, "is_daemon": True, "is_std": True}),
        ("RECV --port 1 --timeout 0.5", "RECV", {**LISTEN, "port": 1, "timeout": 0.5}),
        ("RECV --group 239.1.2.3 --iface 2", "RECV", {**LISTEN, "group": "239.1.2.3", "iface": "2"}),
        ("RECV --groups 239.1.1.1 ff02::1", "RECV", {**LISTEN, "groups": ["239.1.1.1", "ff02::1"]}),
        ("RECV --group 239.1.0.0/24", "RECV", {**LISTEN, "group": "239.1.0.0/24"}),
        (
            "RECV --groups ff15::1+9 239.1.1.1+2%lo --iface all",
            "RECV",
            {
                **LISTEN,
                "groups": ["ff15::1+9", "239.1.1.1+2%lo"],
                "iface": "all",
            },
        ),
        (
            "HEAR --group 10.0.0.1,10.0.0.2@232.1.1.1",
            "HEAR",
            {
                **LISTEN,
                "group": "10.0.0.1,10.0.0.2@232.1.1.1",
                "reply": True,
                "stop": True,
                "raw": False,
            },
        ),
        ("RECV --source 10.0.0.1", "RECV", {**LISTEN, "source": ["10.0.0.1"]}),
        (
            "RECV --source 10.0.0.1 10.0.0.2 --port 5 --source 10.0.0.3",
            "RECV",
            {
                **LISTEN,
                "port": 5,
                "source": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            },
        ),
        (
            "RECV --exclude fd00::1 --exclude fe80::1%lo",
            "RECV",
            {**LISTEN, "exclude": ["fd00::1", "fe80::1%lo"]},
        ),
        (
            "SAY --group ff02::1%lo --no-loopback -m x",
            "SAY",
            {
                **SAY,
                "group": "ff02::1%lo",
                "loopback": False,
                "data": ["x"],
            },
        ),
        ("SAY --use-std --daemon -m x", "SAY", {**SAY, "is_std": True, "is_daemon": True, "data": ["x"]}),
        ("SAY -m Hello World", "SAY", {**SAY, "data": ["Hello World"]}),
        ("SAY --ttl 0 --message -", "SAY", {**SAY, "ttl": 0, "data": ["-"]}),
        ("SAY --ttl 255 --pipe", "SAY", {**SAY, "ttl": 255, "data": ["-"]}),
        ("SAY --message=Hello", "SAY", {**SAY, "data": ["Hello"]}),
        ("SAY -m rm -rf -- --port 5", "SAY", {**SAY, "data": ["rm -rf -- --port 5"]}),
        ("SAY -m --", "SAY", {**SAY, "data": ["--"]}),
        ("SAY --port 65535 -m -m", "SAY", {**SAY, "port": 65535, "data": ["-m"]}),
    ],
)
def test_parser_words_become_tool_keywords(words: str, command: str, expected: dict[str, Any]) -> None:
    assert keywords(*words.split()) == (command, expected)


def test_parser_message_words_are_joined_with_spaces() -> None:
    assert keywords("SAY", "-m", "two  spaces", "", "end")[1]["data"] == ["two  spaces  end"]
    assert keywords("SAY", "-m", "")[1]["data"] == [""]


def test_parser_message_option_outside_say_exits() -> None:
    with pytest.raises(SystemExit):
        parser.parse(["RECV", "-m", "hello"])


def test_parser_debug_is_not_passed_to_the_tool() -> None:
    assert parser.parse(["NOOP", "--debug"]).debug is True
    assert parser.parse(["--debug", "NOOP"]).debug is True
    assert parser.parse(["NOOP"]).debug is False
    assert "debug" not in keywords("--debug", "NOOP")[1]


@pytest.mark.parametrize(
    ("problem", "line", "code"),
    [
        (OSError(19, "cannot use eth9 (interfaces here: lo)"), "cannot use eth9 (interfaces here: lo)", 2),
        (FileNotFoundError(2, "cannot open x"), "cannot open x (check the name of the file)", 66),
        (PermissionError(13, "cannot bind"), "cannot bind (check the permissions of this user)", 77),
        (ValueError("two\nlines"), "two lines (see 'multicast RECV --help')", 65),
        (KeyError(), "KeyError (add --debug to see where)", 70),
    ],
)
def test_report_failure_prints_one_line(
    capsys: pytest.CaptureFixture[str], problem: BaseException, line: str, code: int
) -> None:
    assert errors.report(problem, parser.parse(["RECV"])) == code
    assert capsys.readouterr().err == f"multicast RECV: {line}\n"


@pytest.mark.parametrize(
    ("problem", "code"),
    [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141), (SystemExit(143), 143), (SystemExit("x"), 2)],
)
def test_report_signal_or_exit_prints_nothing(
    capsys: pytest.CaptureFixture[str], problem: BaseException, code: int
) -> None:
    assert errors.report(problem, parser.parse(["RECV"])) == code
    assert capsys.readouterr().err == ""


def test_report_with_debug_prints_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report(ValueError("bad"), parser.parse(["RECV", "--debug"])) == 65
    err = capsys.readouterr().err
    assert err.startswith("ValueError: bad\nmulticast RECV: bad")


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        parser.parse([command, "--help"])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["RECV", "HEAR"])
def test_help_of_listening_command_shows_listening_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of(command, capsys)
    for part in ("239.1.2.3+10", "239.1.2.0/24", "10.0.0.1@232.1.2.3", "(default: 224.0.0.1)", "'all'"):
        assert part in shown
    for option in ("--use-std", "--daemon", "--source", "--exclude"):
        assert f" {option} " in shown


@pytest.mark.parametrize("command", ["SAY", "NOOP"])
def test_help_of_other_commands_omits_listening_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of(command, capsys)
    for option in ("--use-std", "--daemon", "--source", "--exclude"):
        assert option not in shown


@pytest.mark.parametrize("columns", ["40", "200"])
def test_help_lines_fit_the_terminal_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as caught:
        parser.parse(["--help"])
    assert caught.value.code == 0
    widths = [len(line) for line in capsys.readouterr().out.splitlines()]
    assert 0 < max(widths) <= int(columns)
    assert (max(widths) > 40) == (columns == "200")


def test_flush_stdout_full_device_prints_error_and_returns_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        # Only Linux has this device.
        pytest.skip("there is no /dev/full here")
    with full.open("w") as out:
        monkeypatch.setattr("sys.stdout", out)
        out.write("lost")
        assert output.flush_stdout(0) == 2
        # Closing the file writes the rest, which now goes to the null device.
        assert os.fstat(out.fileno()).st_rdev == Path(os.devnull).stat().st_rdev
    assert (
        capsys.readouterr().err
        == "multicast: cannot write standard output: No space left on device (send it somewhere else)\n"
    )
