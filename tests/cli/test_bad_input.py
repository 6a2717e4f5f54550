"""Test user errors: each has its exit code and one line on standard error, no traceback, and no side effect."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from multicast import Receiver, Sender
from tests.cli.running import GROUP, MULTICAST, run, start
from tests.support.programs import environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

USAGE, DATA = 2, 65
NO_GROUP = "must be a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8), got"
NO_PORT = "must be a UDP port from 1 to 65535, got"
NO_TTL = "must be a number of hops from 0 to 255, got"
NO_TIME = "must be a number of seconds, 0 or more, got"
NO_INDEX = "must be the index of an interface from 1 to 2147483647, got"
NO_SOURCE = "must be the address of one host, got"

# The command line, its exit code, and a part of its error line. A value that its option cannot take is a usage error,
# values that contradict each other are bad data, and an error of the system has the code of that error.
TABLE: list[tuple[str, int, str]] = [
    # commands
    ("BOGUS", USAGE, "invalid choice: 'BOGUS' (choose from listen, "),
    ("say -m x", USAGE, "invalid choice: 'say' (did you mean 'SAY'?)"),
    ("interfcaes", USAGE, "invalid choice: 'interfcaes' (did you mean 'interfaces'?)"),  # codespell:ignore
    ("Interfaces", USAGE, "invalid choice: 'Interfaces' (did you mean 'interfaces'?)"),
    (
        "help interfcaes",
        USAGE,
        "argument COMMAND: invalid choice: 'interfcaes' (did you mean 'interfaces'?)",
    ),  # codespell:ignore
    ("interfaces nosuch0", USAGE, "cannot find interface nosuch0: No such device (interfaces here: lo, "),
    ("completion bash --json", USAGE, "unrecognized arguments: --json"),
    ("interfaces --daemon", USAGE, "unrecognized arguments: --daemon"),
    ("NOOP extra", USAGE, "unrecognized arguments: extra"),
    ("SAY extra", USAGE, "unrecognized arguments: extra (write --message before the message)"),
    # options
    ("--bogus NOOP", USAGE, "unrecognized arguments: --bogus"),
    ("NOOP --bogus", USAGE, "unrecognized arguments: --bogus"),
    ("SAY --bogus -m x", USAGE, "unrecognized arguments: --bogus"),
    ("RECV --bogus", USAGE, "multicast RECV: error: unrecognized arguments: --bogus (see "),
    ("HEAR --use-stdd", USAGE, "--use-stdd (did you mean '--use-std'?) (see 'multicast HEAR --help')"),
    ("HEAR --bogus", USAGE, "unrecognized arguments: --bogus"),
    ("SAY --por 5000 -m x", USAGE, "unrecognized arguments: --por"),
    ("RECV --pipe", USAGE, "unrecognized arguments: --pipe"),
    (
        "listen --cuont=3",  # codespell:ignore
        USAGE,
        "multicast listen: error: unrecognized arguments: --cuont=3 (did you mean '--count'?)",  # codespell:ignore
    ),
    ("listen --bogus", USAGE, "multicast listen: error: unrecognized arguments: --bogus (see "),
    ("send", USAGE, "multicast send: error: the following arguments are required: ENDPOINT (see "),
    ("RECV --port", USAGE, "argument --port: expected one argument"),
    ("SAY --groups", USAGE, "argument --groups: expected at least one argument"),
    ("SAY --message", USAGE, "argument -m/--message: expected at least one argument"),
    ("SAY --pipe -m x", USAGE, "not allowed with argument"),
    # ports
    ("SAY --port 0 -m x", USAGE, f"{NO_PORT} '0'"),
    ("SAY --port 65536 -m x", USAGE, f"{NO_PORT} '65536'"),
    ("SAY --port -5 -m x", USAGE, f"{NO_PORT} '-5'"),
    ("SAY --port http -m x", USAGE, f"{NO_PORT} 'http'"),
    ("RECV --port 5e3", USAGE, f"{NO_PORT} '5e3'"),
    ("HEAR --port 5_000", USAGE, f"{NO_PORT} '5_000'"),
    # hops and times
    ("SAY --ttl 256 -m x", USAGE, f"{NO_TTL} '256'"),
    ("SAY --ttl -1 -m x", USAGE, f"{NO_TTL} '-1'"),
    ("SAY --ttl far -m x", USAGE, f"{NO_TTL} 'far'"),
    ("RECV --timeout -1", USAGE, f"{NO_TIME} '-1'"),
    ("RECV --timeout soon", USAGE, f"{NO_TIME} 'soon'"),
    ("RECV --timeout inf", USAGE, f"{NO_TIME} 'inf'"),
    # groups
    ("SAY --group 10.0.0.1 -m x", USAGE, f"{NO_GROUP} '10.0.0.1'"),
    ("RECV --group 255.255.255.255", USAGE, f"{NO_GROUP} '255.255.255.255'"),
    ("HEAR --daemon --group 0.0.0.0", USAGE, f"{NO_GROUP} '0.0.0.0'"),
    ("RECV --group example.org", USAGE, f"{NO_GROUP} 'example.org'"),
    ("RECV --group 239.1.2", USAGE, f"{NO_GROUP} '239.1.2'"),
    ("RECV --group 239.1.2.256", USAGE, f"{NO_GROUP} '239.1.2.256'"),
    ("RECV --group fe80::1", USAGE, f"{NO_GROUP} 'fe80::1'"),
    ("RECV --groups 239.1.2.3 10.0.0.1", USAGE, f"{NO_GROUP} '10.0.0.1'"),
    ("RECV --group ff02::zz", USAGE, f"{NO_GROUP} 'ff02::zz'"),
    ("SAY --group 10.0.0.1@232.1.2.3 -m x", USAGE, "must not name a source (this machine is the source)"),
    ("RECV --group 239.1.2.3:5000", USAGE, "must not contain a port (use --port)"),
    ("SAY --group [ff15::1]:59595 -m x", USAGE, "must not contain a port (use --port)"),
    ("RECV --group 239.1.2.3%", USAGE, "has an empty or a second interface"),
    ("RECV --group 239.1.2.3%0", USAGE, f"{NO_INDEX} '0'"),
    ("RECV --group 239.1.2.3/24", USAGE, "write 239.1.2.0/24"),
    ("RECV --group 239.1.2.3+0", USAGE, "stands for 0 groups"),
    ("RECV --group 239.255.255.255+2", USAGE, f"{NO_GROUP} '239.255.255.255+2'"),
    ("RECV --group 10.0.0.0/24", USAGE, f"{NO_GROUP} '10.0.0.0/24'"),
    (
        "RECV --group ff02::1",
        DATA,
        "interface must be given for the link-local group ff02::1, as in ff02::1%eth0",
    ),
    (
        "SAY --group ff02::1 -m x",
        DATA,
        "interface must be given for the link-local group ff02::1, as in ff02::1%eth0",
    ),
    ("RECV --group ff02::1%nosuch0", USAGE, "cannot use nosuch0: No such device (interfaces here: lo"),
    # sources
    ("RECV --source", USAGE, "argument --source: expected at least one argument"),
    ("RECV --source host", USAGE, "must be an IPv4 or IPv6 address, got 'host'"),
    ("RECV --source 239.1.1.1", USAGE, f"{NO_SOURCE} '239.1.1.1'"),
    ("RECV --source 10.0.0.1 0.0.0.0", USAGE, f"{NO_SOURCE} '0.0.0.0'"),
    ("RECV --exclude 255.255.255.255", USAGE, f"{NO_SOURCE} '255.255.255.255'"),
    ("RECV --exclude ::", USAGE, f"{NO_SOURCE} '::'"),
    ("RECV --source 10.0.0.1 --exclude 10.0.0.2", USAGE, "not allowed with argument --source"),
    ("RECV --group @232.1.2.3", USAGE, "has an empty source before '@'"),
    ("RECV --group ::@ff35::1", USAGE, f"{NO_SOURCE} '::'"),
    ("RECV --group 10.0.0.1@232.1.2.3 --exclude 10.0.0.2", DATA, "not both"),
    ("RECV --group 239.1.2.3 --source fd00::1", DATA, "must be of the same IP version as"),
    ("HEAR --daemon --group ff35::1 --source 10.0.0.1", DATA, "must be of the same IP version as"),
    (
        "RECV --group 232.1.2.3",
        DATA,
        "source must be given for the source-specific group 232.1.2.3 (RFC 4607), as in 10.0.0.1@232.1.2.3",
    ),
    ("HEAR --daemon --group ff35::1", DATA, "source must be given for the source-specific group ff35::1"),
    ("SAY --source 10.0.0.1 -m x", USAGE, "unrecognized arguments: --source"),
    # interfaces
    ("SAY --iface nosuch0 -m x", USAGE, "cannot use nosuch0: No such device (interfaces here: lo"),
    ("RECV --iface nosuch0", USAGE, "cannot use nosuch0: No such device (interfaces here: lo"),
    ("HEAR --daemon --iface 99999", USAGE, "cannot use interface 99999: No such device (interfaces here: lo"),
    ("RECV --iface 203.0.113.9", USAGE, "203.0.113.9: Cannot assign requested address (interfaces here: lo"),
    ("RECV --iface 0", USAGE, f"{NO_INDEX} '0'"),
    ("RECV --iface 2147483648", USAGE, f"{NO_INDEX} '2147483648'"),
    ("RECV --iface 239.1.1.1", USAGE, "must be an interface, not a group, got '239.1.1.1'"),
    ("SAY --iface all -m x", USAGE, "must be one interface ('all' is for receiving only)"),
]


def check(done: "subprocess.CompletedProcess[bytes]", code: int, part: str) -> str:
    """Assert the exit code and one line on standard error that contains ``part``. Return the line.

    Before the line about a usage error stands the usage of the command.
    """
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (code, b""), err
    assert err.endswith("\n")
    *usage, line = err.splitlines()
    assert part in line
    assert line.startswith("multicast")
    # The hint is in brackets at the end.
    assert line.endswith(")")
    if ": error: " in line:
        assert code == USAGE
        assert usage[0].startswith("usage: multicast")
        assert all(more.startswith("     ") for more in usage[1:])
    else:
        assert usage == [], "there must be one line"
    return line


@pytest.fixture
def ear() -> Iterator[Receiver]:
    """A receiver of the default group and of the valid group that is given among invalid ones."""
    with Receiver(["224.0.0.1", "239.1.2.3"], 59595) as receiver:
        yield receiver


def assert_nothing_sent(ear: Receiver) -> None:
    """Assert that the next datagram of ``ear`` is one sent now, so that nothing was sent before."""
    with Sender("224.0.0.1", 59595) as sender:
        sender.send(b"the end")
    assert ear.recv(timeout=10).data == b"the end"


def test_table_has_at_least_30_distinct_cases() -> None:
    assert len(TABLE) == len({words for words, *_ in TABLE}) >= 30


@pytest.mark.parametrize(("words", "code", "part"), TABLE, ids=[words for words, *_ in TABLE])
def test_command_bad_argument_prints_one_line_and_sends_nothing(
    words: str, code: int, part: str, ear: Receiver
) -> None:
    check(run(*words.split()), code, part)
    assert_nothing_sent(ear)


def test_options_and_command_in_one_word_are_a_usage_error() -> None:
    check(run("--daemon HEAR", "--help"), USAGE, "invalid choice: '--daemon HEAR'")


def test_program_without_command_prints_an_overview() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (USAGE, b"")
    err = done.stderr.decode()
    assert err.startswith("usage: multicast [-h] ")
    assert err.count("\n  multicast ") == 4, "four examples"
    assert re.search(r"\n  lo +up +127\.0\.0\.1 ::1\n", err)
    assert re.search(r"\n  veth0 +up +192\.0\.2\.2 2001:db8::2 ", err)
    assert err.splitlines()[-1].startswith("multicast: error: the following arguments are required: CMD")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("record", ["-o", ""]),
        ("record", ["-o", "-"]),
        ("measure", ["--report", ""]),
        ("measure", ["--report", "-"]),
        ("send", ["239.1.2.3", "--file", ""]),
        ("replay", [""]),
        ("relay", ["--config", ""]),
    ],
    ids=str,
)
def test_command_name_that_is_no_file_is_a_usage_error(command: str, words: list[str]) -> None:
    check(run(command, *words), USAGE, f"must be the name of a file, got {words[-1]!r}")


@pytest.mark.parametrize("name", ["", "a b", "a/b"])
def test_recv_impossible_interface_name_is_a_usage_error(name: str) -> None:
    check(
        run("RECV", "--iface", name),
        USAGE,
        f"argument --iface: must be the name, index or address of an interface, got {name!r}",
    )


def test_say_payload_beyond_udp_limit_is_rejected(ear: Receiver) -> None:
    check(run("SAY", "-m", "x" * 65508), DATA, "65508")
    assert_nothing_sent(ear)


def test_say_one_bad_group_sends_nothing(ear: Receiver) -> None:
    # Only the core detects that this group needs an interface.
    check(run("SAY", "--groups", "239.1.2.3", "ff02::1", "-m", "x"), DATA, "ff02::1")
    assert_nothing_sent(ear)


@pytest.mark.parametrize("command", [["RECV"], ["HEAR"], ["HEAR", "--daemon"]])
def test_listener_port_held_without_sharing_is_reported(command: list[str], free_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("", free_port))
        done = run(*command, "--port", str(free_port))
    check(done, 2, "Address already in use (another program uses this port and does not share it: ")


def test_recv_privileged_port_is_reported(tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [tool("setpriv"), "--bounding-set=-net_bind_service", *MULTICAST, "RECV", "--port", "80"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    check(done, 77, "port 80 (224.0.0.1): Permission denied")


@pytest.mark.parametrize(
    ("words", "part"),
    [(["SAY", "-m", "x"], "Network is unreachable (no route to the group"), (["RECV"], "No such device")],
)
def test_command_without_route_is_reported(words: list[str], part: str, tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [tool("unshare"), "-n", *MULTICAST, *words],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    check(done, 2, part)


@pytest.mark.parametrize("command", ["RECV", "HEAR"])
def test_listener_nothing_received_exits_70(command: str, free_port: int) -> None:
    done = run(command, "--port", str(free_port), "--timeout", "0.05")
    check(
        done,
        70,
        f"received nothing on port {free_port} within 0.05 s (check the group, the port and the interface",
    )


@pytest.mark.parametrize("how", [["--pipe"], ["-m", "-"]])
def test_say_closed_standard_input_is_reported(how: list[str], ear: Receiver) -> None:
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "bash", *MULTICAST, "SAY", *how],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    check(done, 2, "cannot read standard input: it is closed")
    assert_nothing_sent(ear)


def test_say_broken_standard_input_prints_no_traceback(ear: Receiver) -> None:
    """A terminal whose other end is closed gives an input error."""
    keyboard, terminal = os.openpty()
    os.close(keyboard)
    try:
        done = run("SAY", "--pipe", stdin=terminal)
    finally:
        os.close(terminal)
    # The kernel reports the end of the input or an error. Neither prints a traceback or sends anything.
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert_nothing_sent(ear)


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
def test_say_bad_variable_warns_once_and_uses_the_default(name: str, value: str, ear: Receiver) -> None:
    done = run("SAY", "--message", "hello", env={name: value})
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (0, b"")
    assert err.count("Warning") == 1
    assert f"UserWarning: {name} must " in err
    assert f", got {value.rpartition(' ')[2]!r}; " in err
    got = ear.recv(timeout=10)
    assert (got.data, got.group, got.ttl) == (b"hello", "224.0.0.1", 1)


@pytest.mark.parametrize(
    "words",
    [[], ["--help"], ["help"], ["listen", "-h"], ["--debug", "interfaces"], ["completion", "bash"]],
    ids=str,
)
def test_command_bad_variable_warns_in_one_line(words: list[str]) -> None:
    done = run(*words, env={"MULTICAST_PORT": "80"})
    first, _, rest = done.stderr.decode().partition("\n")
    assert first == (
        "multicast: warning: MULTICAST_PORT must be a port in 49152-65535, got '80'; using 59595"
    )
    assert "MULTICAST_PORT" not in rest
    assert "Warning" not in rest


def test_command_bad_variable_with_warnings_ignored_is_silent() -> None:
    done = run("help", env={"MULTICAST_PORT": "80", "PYTHONWARNINGS": "ignore"})
    assert (done.returncode, done.stderr) == (0, b"")


def test_debug_option_prints_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    done = run("RECV", "--iface", "nosuch0", "--debug")
    assert done.returncode == 2
    first, *_, last = done.stderr.decode().splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("multicast RECV: cannot use nosuch0")


def test_error_on_terminal_is_the_same_as_in_pipe() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb") as screen:
        try:
            done = run("BOGUS", stderr=theirs)
        finally:
            os.close(theirs)
        shown = b""
        # Reading a terminal whose other end is closed fails with EIO.
        with contextlib.suppress(OSError):
            while part := screen.read1(4096):
                shown += part
    assert done.returncode == 2
    assert shown.replace(b"\r\n", b"\n") == run("BOGUS").stderr


def test_listener_failed_start_holds_no_port_and_no_group(free_port: int, loopback: str) -> None:
    """A listener that failed to start must not hold the port or the group."""
    where = ["--port", str(free_port), "--group", GROUP]
    assert run("HEAR", "--daemon", *where, "--iface", "nosuch0").returncode == 2
    with start("HEAR", "--daemon", *where, "--iface", loopback) as listener:
        listener.until_joined(GROUP)
        assert run("SAY", *where, "--iface", loopback, "-m", "STOP").returncode == 0
        assert listener.finish() == 0, listener.err
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", free_port))


def test_command_runs_the_python_under_test() -> None:
    assert MULTICAST[0] == sys.executable
