"""Test the documented names of ``multicast.__main__``."""

from typing import Any

import pytest

import multicast
from multicast import __main__ as entry


def test_main_noop_returns_success() -> None:
    assert entry.main(["NOOP"]) == (0, (True, None))
    assert entry.main("NOOP") == (0, (True, None))
    assert entry.main(["--daemon", "NOOP"]) == (0, (True, None))
    assert entry.McastNope()() == (True, None)


def test_task_options_are_the_four_tools() -> None:
    assert sorted(entry.TASK_OPTIONS) == ["HEAR", "NOOP", "RECV", "SAY"]
    assert all(isinstance(task, multicast.mtool) for task in entry.TASK_OPTIONS.values())


def test_use_tool_by_name_returns_its_result() -> None:
    assert entry.McastDispatch().useTool("NOOP") == (True, None)
    assert entry.McastDispatch.useTool("NOOP") == (True, None)
    assert entry.McastDispatch().useTool("NOSUCH") == (False, None)


@pytest.mark.parametrize("command", ["RECV", "HEAR"])
def test_main_nothing_received_returns_70(
    command: str, free_port: int, loopback: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        command,
        "--port",
        str(free_port),
        "--group",
        "239.4.5.1",
        "--iface",
        loopback,
        "--timeout",
        "0.05",
    ]
    assert entry.main(words) == (70, (False, None))
    line = f"multicast {command}: received nothing on port {free_port} within 0.05 s "
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_main_say_returns_success(free_port: int, loopback: str) -> None:
    words = ["SAY", "--port", str(free_port), "--group", "239.4.5.1", "--iface", loopback, "-m", "hello"]
    assert entry.main(words) == (0, (True, None))


def test_dispatch_do_step_returns_the_same_as_main() -> None:
    assert entry.McastDispatch().doStep(["NOOP"]) == (0, (True, None))
    assert entry.McastDispatch()("NOOP", "--use-std") == (0, (True, None))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: CMD"),
        (["NOSUCH"], "argument CMD: invalid choice: 'NOSUCH'"),
        (["HEAR", "--port", "test"], "argument --port: must be a UDP port from 1 to 65535, got 'test'"),
        (["SAY", "--message"], "argument -m/--message: expected at least one argument"),
        (["NOOP", "--nosuch"], "unrecognized arguments: --nosuch"),
        (["help", "NOSUCH"], "argument COMMAND: invalid choice: 'NOSUCH'"),
        (["interfaces", "-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
    ],
)
@pytest.mark.parametrize("call", [entry.main, entry.McastDispatch()])
def test_main_usage_error_raises_system_exit_after_usage_and_message(
    call: Any, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(words)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *_, last = captured.err.splitlines()
    assert first.startswith("usage: multicast")
    assert f"error: {message}" in last
    assert captured.err.count("error: ") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--daemon", "NOOP", ["--debug"]),
        (["--daemon"], ("NOOP", ["--debug"])),
        ([["--daemon", ("NOOP",)], "--debug"],),
    ],
)
def test_main_words_may_be_nested(words: Any) -> None:
    assert entry.main(*words) == (0, (True, None))


def test_main_nested_words_are_those_of_the_command(free_port: int, loopback: str) -> None:
    where = ["--port", str(free_port), "--group", "239.4.5.1", "--iface", loopback]
    with multicast.Receiver("239.4.5.1", free_port, interface=loopback) as ear:
        assert entry.main("SAY", where, ["--message", ["Hello", "World"]]) == (0, (True, None))
        assert ear.recv(timeout=10).data == b"Hello World"


def test_main_word_that_is_not_text_raises_type_error() -> None:
    with pytest.raises(TypeError, match="words of a command line must be str, got 5000"):
        entry.main("SAY", "--port", 5000)


def test_main_help_and_version_return_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["--version"])[0] == 0
    assert capsys.readouterr().out == f"multicast {multicast.__version__}\n"
    assert entry.main(["--help"])[0] == 0
    assert "CMD" in capsys.readouterr().out


def test_main_failure_returns_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["RECV", "--group", "239.4.5.1", "--iface", "nosuch0"]
    assert entry.main(words) == (2, (False, None))
    assert "nosuch0" in capsys.readouterr().err


def test_cli_uses_arguments_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["multicast", "NOOP"])
    assert entry.cli() == 0
    monkeypatch.setattr("sys.argv", ["multicast", "NOOP", "--nosuch"])
    assert entry.cli() == 2


def test_dispatcher_parse_args_accepts_options_of_its_tools() -> None:
    options, extras = entry.McastRecvHearDispatch.parseArgs(["--no-reply", "--timeout", "3"])
    assert (options.reply, options.stop, options.timeout, extras) == (False, True, 3.0, [])
    options, extras = entry.McastDispatch.parseArgs(["SAY", "--ttl", "3", "--unknown"])
    assert (options.command, options.ttl, extras) == ("SAY", 3, ["--unknown"])
    assert entry.McastNope.parseArgs([])[1] == []
