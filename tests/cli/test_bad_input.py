"""What a user can get wrong: each with its exit code and one plain line, no traceback, and nothing half done."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multicast import Receiver, Sender
from tests.cli.commands import GROUP, MULTICAST, run, start
from tests.support.joined import until_joined
from tests.support.programs import environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

USAGE, DATA = 2, 65
NO_GROUP = "is not a multicast address"
NO_PORT = "is not a UDP port, 1-65535"

# The words of the command line, its exit code, and what its one line says. A word that cannot be what its option takes
# is a usage error; words that do not go together are bad data; what the system refuses has the code of its error.
TABLE: list[tuple[str, int, str]] = [
    # commands
    ("", USAGE, "the following arguments are required: CMD"),
    ("BOGUS", USAGE, "invalid choice: 'BOGUS'"),
    ("say -m x", USAGE, "invalid choice: 'say'"),
    ("NOOP extra", USAGE, "unrecognized arguments: extra"),
    ("SAY extra", USAGE, "unrecognized arguments: extra"),
    # options
    ("--bogus NOOP", USAGE, "unrecognized arguments: --bogus"),
    ("NOOP --bogus", USAGE, "unrecognized arguments: --bogus"),
    ("SAY --bogus -m x", USAGE, "unrecognized arguments: --bogus"),
    ("RECV --bogus", USAGE, "unrecognized arguments: --bogus"),
    ("HEAR --bogus", USAGE, "unrecognized arguments: --bogus"),
    ("SAY --por 5000 -m x", USAGE, "unrecognized arguments: --por"),
    ("RECV --pipe", USAGE, "unrecognized arguments: --pipe"),
    ("RECV --port", USAGE, "argument --port: expected one argument"),
    ("SAY --groups", USAGE, "argument --groups: expected at least one argument"),
    ("SAY --message", USAGE, "argument -m/--message: expected at least one argument"),
    ("SAY --pipe -m x", USAGE, "not allowed with argument"),
    # ports
    ("SAY --port 0 -m x", USAGE, f"'0' {NO_PORT}"),
    ("SAY --port 65536 -m x", USAGE, f"'65536' {NO_PORT}"),
    ("SAY --port -5 -m x", USAGE, f"'-5' {NO_PORT}"),
    ("SAY --port http -m x", USAGE, f"'http' {NO_PORT}"),
    ("RECV --port 5e3", USAGE, f"'5e3' {NO_PORT}"),
    ("HEAR --port 5_000", USAGE, f"'5_000' {NO_PORT}"),
    # hops and times
    ("SAY --ttl 256 -m x", USAGE, "'256' is not a number of hops, 0-255"),
    ("SAY --ttl -1 -m x", USAGE, "'-1' is not a number of hops, 0-255"),
    ("SAY --ttl far -m x", USAGE, "'far' is not a number of hops, 0-255"),
    ("RECV --timeout -1", USAGE, "'-1' is not a number of seconds"),
    ("RECV --timeout soon", USAGE, "'soon' is not a number of seconds"),
    ("RECV --timeout inf", USAGE, "'inf' is not a number of seconds"),
    # groups
    ("SAY --group 10.0.0.1 -m x", USAGE, f"'10.0.0.1' {NO_GROUP}"),
    ("RECV --group 255.255.255.255", USAGE, f"'255.255.255.255' {NO_GROUP}"),
    ("HEAR --daemon --group 0.0.0.0", USAGE, f"'0.0.0.0' {NO_GROUP}"),
    ("RECV --group example.org", USAGE, f"'example.org' {NO_GROUP}"),
    ("RECV --group 239.1.2", USAGE, f"'239.1.2' {NO_GROUP}"),
    ("RECV --group 239.1.2.256", USAGE, f"'239.1.2.256' {NO_GROUP}"),
    ("RECV --group fe80::1", USAGE, f"'fe80::1' {NO_GROUP}"),
    ("RECV --groups 239.1.2.3 10.0.0.1", USAGE, f"'10.0.0.1' {NO_GROUP}"),
    ("RECV --group ff02::zz", USAGE, f"'ff02::zz' {NO_GROUP}"),
    ("SAY --group 10.0.0.1@232.1.2.3 -m x", USAGE, "a sender's source is this machine"),
    ("RECV --group 239.1.2.3:5000", USAGE, "names a port, which is for --port to say"),
    ("SAY --group [ff15::1]:59595 -m x", USAGE, "names a port, which is for --port to say"),
    ("RECV --group 239.1.2.3%", USAGE, "has an empty or a second zone"),
    ("RECV --group 239.1.2.3%0", USAGE, "'0' is not the index of an interface"),
    ("RECV --group 239.1.2.3/24", USAGE, "that is 239.1.2.0/24"),
    ("RECV --group 239.1.2.3+0", USAGE, "stands for 0 groups"),
    ("RECV --group 239.255.255.255+2", USAGE, f"'239.255.255.255+2' {NO_GROUP}"),
    ("RECV --group 10.0.0.0/24", USAGE, f"'10.0.0.0/24' {NO_GROUP}"),
    ("RECV --group ff02::1", DATA, "name one, as in ff02::1%eth0"),
    ("SAY --group ff02::1 -m x", DATA, "name one, as in ff02::1%eth0"),
    ("RECV --group ff02::1%nosuch0", USAGE, "cannot use nosuch0: No such device (interfaces here: lo"),
    # sources
    ("RECV --source", USAGE, "argument --source: expected at least one argument"),
    ("RECV --source host", USAGE, "'host' is not an IPv4 or IPv6 address"),
    ("RECV --source 239.1.1.1", USAGE, "'239.1.1.1' cannot be the source of a datagram"),
    ("RECV --source 10.0.0.1 0.0.0.0", USAGE, "'0.0.0.0' cannot be the source of a datagram"),
    ("RECV --exclude 255.255.255.255", USAGE, "'255.255.255.255' cannot be the source of a datagram"),
    ("RECV --exclude ::", USAGE, "'::' cannot be the source of a datagram"),
    ("RECV --source 10.0.0.1 --exclude 10.0.0.2", USAGE, "not allowed with argument --source"),
    ("RECV --group @232.1.2.3", USAGE, "has an empty source before '@'"),
    ("RECV --group ::@ff35::1", USAGE, "'::' cannot be the source of a datagram"),
    ("RECV --group 10.0.0.1@232.1.2.3 --exclude 10.0.0.2", DATA, "not both"),
    ("RECV --group 239.1.2.3 --source fd00::1", DATA, "are of different IP versions"),
    ("HEAR --daemon --group ff35::1 --source 10.0.0.1", DATA, "are of different IP versions"),
    ("RECV --group 232.1.2.3", DATA, "name its source, as in 10.0.0.1@232.1.2.3"),
    ("HEAR --daemon --group ff35::1", DATA, "source-specific group (RFC 4607)"),
    ("SAY --source 10.0.0.1 -m x", USAGE, "unrecognized arguments: --source"),
    # interfaces
    ("SAY --iface nosuch0 -m x", USAGE, "cannot use nosuch0: No such device (interfaces here: lo"),
    ("RECV --iface nosuch0", USAGE, "cannot use nosuch0: No such device (interfaces here: lo"),
    ("HEAR --daemon --iface 99999", USAGE, "cannot use interface 99999: No such device (interfaces here: lo"),
    ("RECV --iface 203.0.113.9", USAGE, "203.0.113.9: Cannot assign requested address (interfaces here: lo"),
    ("RECV --iface 0", USAGE, "'0' is not the index of an interface, 1-2147483647"),
    ("RECV --iface 2147483648", USAGE, "'2147483648' is not the index of an interface, 1-2147483647"),
    ("RECV --iface 239.1.1.1", USAGE, "'239.1.1.1' is a group, not an address of an interface"),
    ("SAY --iface all -m x", USAGE, "'all' is for receiving; a message is sent by one interface"),
]


def check(done: "subprocess.CompletedProcess[bytes]", code: int, told: str) -> str:
    """Assert the exit code and that there is one line that says what was ``told``; returns it."""
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (code, b""), err
    assert told in err
    assert err.count("\n") == 1, "one line"
    assert err.endswith("\n")
    assert err.startswith("multicast")
    assert "Traceback" not in err
    # What to try stands in brackets.
    assert err.endswith(")\n")
    return err


@pytest.fixture
def ear() -> Iterator[Receiver]:
    """Hears whatever goes to the default port, and to the one group that is named among bad ones."""
    with Receiver(["224.0.0.1", "239.1.2.3"], 59595) as receiver:
        yield receiver


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) == len({words for words, *_ in TABLE}) >= 30


@pytest.mark.parametrize(("words", "code", "told"), TABLE, ids=[words or "nothing" for words, *_ in TABLE])
def test_a_bad_word_is_told_and_nothing_is_sent(words: str, code: int, told: str, ear: Receiver) -> None:
    check(run(*words.split()), code, told)
    with Sender("224.0.0.1", 59595) as sender:
        sender.send(b"the end")
    assert ear.recv(timeout=10).data == b"the end"


@pytest.mark.parametrize("name", ["", "a b", "a/b"])
def test_what_cannot_be_an_interface(name: str) -> None:
    check(
        run("RECV", "--iface", name), USAGE, f"argument --iface: {name!r} cannot be the name of an interface"
    )


def test_a_payload_beyond_udp_is_refused(ear: Receiver) -> None:
    check(run("SAY", "-m", "x" * 65508), DATA, "65508")
    assert ear.stats().received == 0


def test_a_bad_group_among_good_ones_sends_nothing(ear: Receiver) -> None:
    # Only the core knows that this one needs an interface.
    check(run("SAY", "--groups", "239.1.2.3", "ff02::1", "-m", "x"), DATA, "ff02::1")
    assert ear.stats().received == 0


@pytest.mark.parametrize("command", [["RECV"], ["HEAR"], ["HEAR", "--daemon"]])
def test_a_port_that_somebody_does_not_share(command: list[str], free_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("", free_port))
        done = run(*command, "--port", str(free_port))
    check(done, 2, "Address already in use (another program holds this port without sharing it; ")


def test_a_port_that_takes_privileges(tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [tool("setpriv"), "--bounding-set=-net_bind_service", *MULTICAST, "RECV", "--port", "80"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    check(done, 77, "port 80 (224.0.0.1): Permission denied")


@pytest.mark.parametrize(
    ("words", "told"),
    [(["SAY", "-m", "x"], "Network is unreachable (no route to the group"), (["RECV"], "No such device")],
)
def test_a_host_without_a_route(words: list[str], told: str, tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [tool("unshare"), "-n", *MULTICAST, *words],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    check(done, 2, told)


@pytest.mark.parametrize("command", ["RECV", "HEAR"])
def test_nothing_that_comes(command: str, free_port: int) -> None:
    done = run(command, "--port", str(free_port), "--timeout", "0.05")
    check(
        done, 70, f"nothing came on port {free_port} within 0.05 s (check group, port and interface, or wait"
    )


@pytest.mark.parametrize("how", [["--pipe"], ["-m", "-"]])
def test_a_standard_input_that_is_closed(how: list[str], ear: Receiver) -> None:
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "bash", *MULTICAST, "SAY", *how],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    check(done, 2, "cannot read standard input: it is closed")
    assert ear.stats().received == 0


def test_a_standard_input_that_breaks(ear: Receiver) -> None:
    """A terminal that was hung up gives an input error: here, one whose other end is gone."""
    keyboard, terminal = os.openpty()
    os.close(keyboard)
    try:
        done = run("SAY", "--pipe", stdin=terminal)
    finally:
        os.close(terminal)
    # Depending on the kernel that is the end of the input or an error; never a traceback, and nothing is sent.
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert ear.stats().received == 0


def output_of_a_message(port: int, loopback: str, redirection: str) -> "tuple[int, str]":
    """Receive a message with standard output redirected; returns exit code and standard error."""
    where = ["--port", str(port), "--group", GROUP, "--iface", loopback]
    command = ["bash", "-c", f'exec "$@" {redirection}', "bash", *MULTICAST, "--use-std", "RECV", *where]
    with (
        subprocess.Popen(
            [*command, "--timeout", "10"], env=environment(), stderr=subprocess.PIPE
        ) as listener,
        Sender(GROUP, port, interface=loopback) as sender,
    ):
        until_joined(GROUP)
        sender.send(b"hello")
        _, err = listener.communicate(timeout=10)
    return listener.returncode, err.decode()


def test_a_standard_output_that_is_closed(free_port: int, loopback: str) -> None:
    assert output_of_a_message(free_port, loopback, ">&-") == (141, "")


def test_a_standard_output_that_is_full(free_port: int, loopback: str) -> None:
    code, err = output_of_a_message(free_port, loopback, ">/dev/full")
    assert code == 2
    assert err.startswith("multicast RECV: cannot write standard output: No space left on device (")
    assert err.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["SAY", "-h"], ["--version"]])
def test_a_help_that_nobody_reads(words: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(*words, stdout=writing, env={"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_help_on_a_full_disk(unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("--help", stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2
    assert (
        done.stderr
        == b"multicast: cannot write standard output: No space left on device (send it somewhere else)\n"
    )


def test_a_version_for_a_closed_output() -> None:
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" >&-', "bash", *MULTICAST, "--version"],
        env=environment(),
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_standard_error_that_is_closed() -> None:
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" 2>&-', "bash", *MULTICAST, "BOGUS"],
        env=environment(),
        stdout=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MULTICAST_PORT", "80"),
        ("MULTICAST_GROUP", "10.0.0.1"),
        ("MULTICAST_TTL", "0"),
        ("MULTICAST_BUFFER_SIZE", "1k"),
        ("MULTICAST_BIND_ADDR", "here"),
        ("MULTICAST_GROUPS", "239.1.1.1 nowhere"),
    ],
)
def test_a_bad_value_in_the_environment_is_one_warning_and_the_default(
    name: str, value: str, ear: Receiver
) -> None:
    done = run("SAY", "--message", "hello", env={name: value})
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (0, b"")
    assert (err.count("Warning"), err.count(name)) == (1, err.count(name))
    assert f"UserWarning: {name}: {value.rpartition(' ')[2]!r} is not " in err
    got = ear.recv(timeout=10)
    assert (got.data, got.group, got.ttl) == (b"hello", "224.0.0.1", 1)


def test_debug_shows_where(capfd: pytest.CaptureFixture[str]) -> None:
    done = run("RECV", "--iface", "nosuch0", "--debug")
    assert done.returncode == 2
    first, *_, last = done.stderr.decode().splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("multicast RECV: cannot use nosuch0")


def test_a_terminal_is_told_the_same_as_a_pipe() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb") as screen:
        try:
            done = run("BOGUS", stderr=theirs)
        finally:
            os.close(theirs)
        shown = b""
        # The end of a terminal whose other side is closed is an error (EIO).
        with contextlib.suppress(OSError):
            while part := screen.read1(4096):
                shown += part
    assert done.returncode == 2
    assert shown.replace(b"\r\n", b"\n") == run("BOGUS").stderr


def test_an_ended_listener_leaves_nothing_behind(free_port: int, loopback: str) -> None:
    """A listener that failed to start holds no port and no group."""
    where = ["--port", str(free_port), "--group", GROUP]
    assert run("HEAR", "--daemon", *where, "--iface", "nosuch0").returncode == 2
    with start("HEAR", "--daemon", *where, "--iface", loopback) as listener:
        until_joined(GROUP)
        assert run("SAY", *where, "--iface", loopback, "-m", "STOP").returncode == 0
        assert listener.finish() == 0, listener.err
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", free_port))


def test_python_itself_is_the_one_under_test() -> None:
    assert MULTICAST[0] == sys.executable
