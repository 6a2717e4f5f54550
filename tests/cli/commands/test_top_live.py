"""The live screen of ``multicast top`` on a terminal: keys, sizes, colors, and the terminal afterwards."""

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from multicast import Sender
from multicast.apps.numbered import numbered
from tests.cli.running import GROUP, MULTICAST, OTHER
from tests.support.background import running
from tests.support.terminal import GIVEN_BACK, TAKEN, OnTerminal, plain

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@contextmanager
def feed(port: int) -> Generator[None, None, None]:
    """Send a numbered datagram every 20 ms; every tenth number is missing."""

    def send(end: threading.Event) -> None:
        with Sender(GROUP, port, interface="lo", ttl=9) as tx:
            number = 0
            while not end.wait(0.02):
                number += 2 if number % 10 == 8 else 1
                tx.send(numbered(1, number, time.time_ns(), 100))

    with running(send):
        yield


def top(port: int, *options: str, columns: int = 80, env: dict[str, str] | None = None) -> OnTerminal:
    words = ["top", f"{GROUP}:{port}%lo", f"{OTHER}:{port}%lo", "-n", "0.3", *options]
    return OnTerminal(*MULTICAST, *words, columns=columns, env=env)


def test_screen_follows_keys_and_gives_the_terminal_back(free_port: int) -> None:
    with feed(free_port), top(free_port) as program:
        program.until_shown("RECEIVING")
        program.until_shown("lost ")
        first, second = program.screen()[3:5]
        assert first.startswith(f"{GROUP}:{free_port}")
        assert second.split()[:3] == [f"{OTHER}:{free_port}", "-", "WAITING"]
        program.type("S")
        program.until_shown("by burst")
        program.type("sss")
        program.until_shown("by state")
        program.type("/waiti")
        program.until_shown("filter: waiti_")
        assert [line.split()[2] for line in program.screen()[3:] if line[:1].isdecimal()] == ["WAITING"]
        program.type("\x7f\x1b")
        program.until(
            lambda: not any("filter:" in line for line in program.screen()), "screen without a filter"
        )
        program.type("p")
        program.until_shown("PAUSED")
        program.type("ph")
        program.until_shown("q  quit")
        assert program.modes() != program.before
        program.type("hq")
        assert program.finish() == 0
        assert program.modes() == program.before
        shown, _, after = program.output.rpartition(GIVEN_BACK)
        assert shown.count(TAKEN) == 1
        assert "received" in after


@pytest.mark.parametrize(
    ("way", "code"),
    [("\x03", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), ("q", 70)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP", "q"],
)
def test_terminal_is_given_back_however_the_command_ends(way: "str | int", code: int, free_port: int) -> None:
    with top(free_port) as program:
        program.until_shown("WAITING")
        if isinstance(way, str):
            program.type(way)
        else:
            program.process.send_signal(way)
        assert program.finish() == code
        assert program.modes() == program.before
        assert program.output.count(TAKEN) == program.output.count(GIVEN_BACK) == 1


def test_command_ends_if_its_terminal_is_gone(free_port: int) -> None:
    with top(free_port) as program:
        program.until_shown("WAITING")
        program.hang_up()
        assert program.process.wait(15) == 128 + signal.SIGHUP


def test_screen_follows_the_size_of_the_terminal(free_port: int) -> None:
    with feed(free_port), top(free_port, columns=200) as program:
        program.until_shown("RECEIVING")
        assert program.screen()[2].endswith("VIA")
        program.resize(80, 10)
        program.until(lambda: is_within(program.screen(), 80, 10), "screen of 80 columns")
        assert "SENDER" in program.screen()[2]
        program.resize(40, 12)
        program.until(lambda: is_within(program.screen(), 40, 12), "screen of 40 columns")
        assert program.screen()[2].split() == ["GROUP", "STATE", "PKT/S", "LOST"]


def is_within(screen: list[str], columns: int, lines: int) -> bool:
    return len(screen) == lines and max(map(len, screen)) < columns


def test_stopped_command_lends_the_terminal_to_the_shell(free_port: int) -> None:
    words = " ".join([*MULTICAST, "top", f"{GROUP}:{free_port}%lo", "-n", "0.3"])
    with OnTerminal("sh", "-i", env={"PS1": "prompt> ", "ENV": ""}) as program:
        program.until(lambda: "prompt> " in program.output, "prompt")
        program.type(f"{words}\n")
        program.until_shown("WAITING")
        program.output = ""
        program.type("\x1a")
        program.until(lambda: "prompt> " in program.output, "prompt")
        assert GIVEN_BACK in program.output.partition("prompt> ")[0]
        program.output = ""
        program.type("fg\n")
        program.until(lambda: TAKEN in program.output, "screen")
        program.until_shown("WAITING")
        program.type("q")
        program.until(lambda: "prompt> " in program.output, "prompt")
        assert GIVEN_BACK in program.output


def test_interim_summary_is_on_the_screen_of_the_shell(free_port: int) -> None:
    with top(free_port) as program:
        program.until_shown("WAITING")
        program.output = ""
        program.process.send_signal(signal.SIGUSR1)
        program.until(lambda: TAKEN in program.output, "screen after the summary")
        on_the_shell, _, _ = program.output.rpartition(GIVEN_BACK)[2].partition(TAKEN)
        assert on_the_shell.startswith("received 0 datagrams")
        program.until_shown("WAITING")
        program.type("q")
        assert program.finish() == 70


@pytest.mark.parametrize(
    ("options", "env", "colored"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
    ids=["terminal", "NO_COLOR", "never", "always"],
)
def test_colors_are_those_requested(
    options: list[str], env: dict[str, str], colored: bool, free_port: int
) -> None:
    with top(free_port, *options, env=env) as program:
        program.until_shown("WAITING")
        assert ("\x1b[33mWAITING" in program.output) == colored
        assert ("\x1b[1m" in program.output) == colored


def test_keys_are_not_read_if_standard_input_is_no_terminal(free_port: int) -> None:
    command = [
        "sh",
        "-c",
        'exec "$@" </dev/null',
        "sh",
        *MULTICAST,
        "top",
        f"{GROUP}:{free_port}%lo",
        "-n",
        "0.3",
    ]
    with OnTerminal(*command) as program:
        program.until_shown("Ctrl-C to quit")
        assert program.modes() == program.before
        program.type("\x03")
        assert program.finish() == 130


def test_table_without_rich_says_once_how_to_get_the_screen(free_port: int, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n", encoding="utf-8")
    path = os.pathsep.join([os.fspath(tmp_path), os.environ.get("PYTHONPATH", "")])
    with top(free_port, "-d", "1.5", env={"PYTHONPATH": path}) as program:
        assert program.finish() == 70
    assert TAKEN not in program.output
    assert program.output.count("WAITING") > 4
    assert plain(program.output).count("multicast[cli]") == 1


def test_terminal_that_cannot_be_redrawn_gets_one_table_after_the_other(free_port: int) -> None:
    with top(free_port, "-d", "1.5", env={"TERM": "dumb"}) as program:
        assert program.finish() == 70
    assert program.output.count("WAITING") > 4
    assert "\x1b" not in program.output


def test_help_and_other_commands_load_no_rich() -> None:
    code = "import sys, multicast.cli.commands.top; sys.exit('rich' in sys.modules)"
    with OnTerminal(sys.executable, "-c", code) as program:
        assert program.finish() == 0
