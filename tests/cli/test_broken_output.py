"""Standard output or error that is closed, full or a broken pipe has its exit code and no traceback."""

import os
import subprocess
from pathlib import Path

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST, run
from tests.support.joined import until_joined
from tests.support.programs import environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


def recv_with_output(port: int, loopback: str, redirection: str) -> "tuple[int, str]":
    """Receive a message with standard output redirected. Return the exit code and standard error."""
    where = ["--port", str(port), "--group", GROUP, "--iface", loopback]
    command = ["bash", "-c", f'exec "$@" {redirection}', "bash", *MULTICAST, "--use-std", "RECV", *where]
    with (
        subprocess.Popen(
            [*command, "--timeout", "10"], env=environment(), stderr=subprocess.PIPE
        ) as listener,
        Sender(GROUP, port, interface=loopback) as sender,
    ):
        until_joined(GROUP, pid=listener.pid)
        sender.send(b"hello")
        _, err = listener.communicate(timeout=10)
    return listener.returncode, err.decode()


def test_recv_closed_standard_output_exits_141(free_port: int, loopback: str) -> None:
    assert recv_with_output(free_port, loopback, ">&-") == (141, "")


def test_recv_full_standard_output_is_reported(free_port: int, loopback: str) -> None:
    code, err = recv_with_output(free_port, loopback, ">/dev/full")
    assert code == 2
    assert err.startswith("multicast RECV: cannot write standard output: No space left on device (")
    assert err.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["SAY", "-h"], ["--version"]])
def test_help_closed_pipe_exits_141(words: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(*words, stdout=writing, env={"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_full_disk_is_reported(unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("--help", stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2
    assert (
        done.stderr
        == b"multicast: cannot write standard output: No space left on device (send it somewhere else)\n"
    )


@pytest.mark.parametrize(
    ("redirection", "word", "expected"),
    [(">&-", "--version", (141, b"", b"")), ("2>&-", "BOGUS", (2, b"", b""))],
)
def test_closed_standard_output_or_error_has_its_exit_code(
    redirection: str, word: str, expected: tuple[int, bytes, bytes]
) -> None:
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {redirection}', "bash", *MULTICAST, word],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == expected
