"""Test that SIGINT and SIGTERM end every command cleanly within 0.2 s."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from multicast import Receiver, Sender
from multicast.cli import signals
from tests.cli.running import GROUP, MULTICAST, start
from tests.support.programs import environment

pytestmark = pytest.mark.platform("linux")

LISTENERS = {
    "HEAR": ["--daemon", "HEAR"],
    "HEAR --use-std": ["--daemon", "--use-std", "HEAR"],
    "RECV": ["RECV", "--timeout", "60"],
    "one HEAR": ["HEAR", "--timeout", "60"],
}
LIMIT = 0.2
# A busy machine may delay one attempt. A slow listener is slow each time.
ATTEMPTS = 3


@pytest.mark.parametrize("words", LISTENERS.values(), ids=LISTENERS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_listener_signal_ends_it_at_once_without_output(
    words: list[str], number: signal.Signals, code: int, free_port: int, loopback: str
) -> None:
    where = ["--port", str(free_port), "--group", GROUP, "--iface", loopback]
    took: list[float] = []
    while not took or (took[-1] >= LIMIT and len(took) < ATTEMPTS):
        with start(*words, *where) as listener:
            listener.until_joined(GROUP)
            begun = time.monotonic()
            listener.interrupt(number)
            assert listener.finish(timeout=5) == code, listener.err
            took.append(time.monotonic() - begun)
            assert (listener.out, listener.err) == ("", "")
    assert took[-1] < LIMIT, took
    # Nothing holds the port now, not even with sharing.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", free_port))


def test_ctrl_c_at_a_terminal_leaves_the_summary_on_a_line_of_its_own(free_port: int, loopback: str) -> None:
    """The terminal shows ^C where the cursor is."""
    ours, theirs = os.openpty()
    words = ["listen", f"{GROUP}:{free_port}%{loopback}"]
    listener = subprocess.Popen(
        ["setsid", "--ctty", *MULTICAST, *words],
        env=environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    with listener, Sender(GROUP, free_port, interface=loopback) as tx:
        shown = b""
        while b"listening" not in shown:
            shown += os.read(ours, 4096)
        tx.send(b"payload")
        while b"payload" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, b"\x03")
        # Reading fails when the last program has closed the terminal.
        with contextlib.suppress(OSError):
            while more := os.read(ours, 4096):
                shown += more
        assert listener.wait(timeout=10) == -signal.SIGINT
    os.close(ours)
    assert b"payload\r\n^C\r\nreceived 1 datagram, 7 bytes" in shown, shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_that_arrives_twice_at_once_leaves_time_for_the_summary(number: signal.Signals) -> None:
    """``timeout`` sends it to the command and to its process group."""
    with signals.handled() as seen:
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert seen.ended_by == number


def test_another_signal_ends_the_command_at_once() -> None:
    with signals.handled():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGINT)
    assert ended.value.code == 143


def test_signal_that_is_repeated_later_ends_the_command_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_REPEATED", 0.0)
    with signals.handled():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143


def test_listener_started_with_sigint_ignored_is_interrupted(free_port: int, loopback: str) -> None:
    """Shells start background jobs with SIGINT ignored. SIGINT must end the listener all the same."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        listener = start("--daemon", "HEAR", "--port", str(free_port), "--group", GROUP, "--iface", loopback)
    finally:
        signal.signal(signal.SIGINT, before)
    with listener:
        listener.until_joined(GROUP)
        listener.interrupt()
        assert listener.finish(timeout=5) == 130, listener.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_say_signal_while_reading_input_ends_it(
    number: signal.Signals, code: int, free_port: int, loopback: str
) -> None:
    where = ["--port", str(free_port), "--group", GROUP, "--iface", loopback]
    with (
        Receiver(GROUP, free_port, interface=loopback) as ear,
        subprocess.Popen(
            [*MULTICAST, "SAY", *where, "--pipe"],
            env=environment(MULTICAST_BUFFER_SIZE="4"),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as say,
    ):
        assert say.stdin is not None
        say.stdin.write(b"fourmore")
        say.stdin.flush()
        # It has read all available input and waits for more.
        assert [ear.recv(timeout=10).data for _ in range(2)] == [b"four", b"more"]
        say.send_signal(number)
        assert say.wait(5) == code
        assert say.communicate()[1] == b""
