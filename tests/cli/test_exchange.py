"""Test SAY, RECV and HEAR as processes that exchange messages."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from multicast import Receiver, Sender
from tests.cli.running import GROUP, MULTICAST, OTHER, run, start
from tests.support import waiting
from tests.support.joined import until_joined
from tests.support.programs import Program

pytestmark = pytest.mark.platform("linux")


@pytest.fixture
def at(free_port: int, loopback: str) -> list[str]:
    return ["--port", str(free_port), "--iface", loopback]


@pytest.mark.parametrize("command", ["RECV", "HEAR"])
def test_listener_use_std_prints_the_message(command: str, at: list[str]) -> None:
    with start(command, *at, "--group", GROUP, "--use-std", "--timeout", "10") as listener:
        listener.until_joined(GROUP)
        said = run("SAY", *at, "--group", GROUP, "--message", "Hello", "World!")
        assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")
        assert listener.finish() == 0, listener.err
        assert (listener.out, listener.err) == ("Hello World!\n", "")


def test_recv_without_use_std_prints_nothing(at: list[str]) -> None:
    with start("RECV", *at, "--group", GROUP, "--timeout", "10") as listener:
        listener.until_joined(GROUP)
        run("SAY", *at, "--group", GROUP, "-m", "hello")
        assert listener.finish() == 0, listener.err
        assert (listener.out, listener.err) == ("", "")


@pytest.mark.parametrize("options", [["--daemon", "--use-std", "HEAR"], ["HEAR", "--daemon", "--use-std"]])
def test_hear_daemon_listens_until_stop(options: list[str], at: list[str]) -> None:
    with start(*options, *at, "--group", GROUP) as listener:
        listener.until_joined(GROUP)
        for words in (["one"], ["two", "words"], ["STOP"]):
            assert run("SAY", *at, "--group", GROUP, "-m", *words).returncode == 0
        assert listener.finish() == 0, listener.err
        assert (listener.out, listener.err) == ("one\ntwo words\nSTOP\n", "")


def test_hear_prints_each_message_immediately(at: list[str], loopback: str) -> None:
    with (
        start("--daemon", "--use-std", "HEAR", *at, "--group", GROUP) as listener,
        Sender(GROUP, int(at[1]), interface=loopback) as sender,
    ):
        listener.until_joined(GROUP)
        for payload, line in ((b"one", "one\n"), (b"", "\n"), (b"\xff\xfe", "\\xff\\xfe\n")):
            sender.send(payload)
            # The output is a pipe, so only flushed lines can be read while the program runs.
            assert listener.line() == line


@pytest.mark.alone
def test_hear_1000_messages_per_second_are_all_printed(at: list[str], loopback: str) -> None:
    with (
        start("--daemon", "--use-std", "HEAR", *at, "--group", GROUP) as listener,
        Sender(GROUP, int(at[1]), interface=loopback) as sender,
    ):
        listener.until_joined(GROUP)
        messages = [f"message {number}" for number in range(1000)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pace:
            # A read that times out after a millisecond paces the loop.
            pace.settimeout(0.001)
            pace.bind((loopback, 0))
            for message in messages:
                sender.send(message.encode())
                with pytest.raises(TimeoutError):
                    pace.recv(1)
        sender.send(b"STOP")
        assert listener.finish() == 0, listener.err
        assert listener.out.splitlines() == [*messages, "STOP"]


@pytest.mark.parametrize("where", [["--groups", GROUP, OTHER], ["--group", OTHER, "--groups", GROUP]])
def test_recv_every_given_group_is_received(where: list[str], at: list[str]) -> None:
    for group in (GROUP, OTHER):
        with start("RECV", *at, *where, "--use-std", "--timeout", "10") as listener:
            listener.until_joined(GROUP, OTHER)
            run("SAY", *at, "--group", group, "-m", f"to {group}")
            assert listener.finish() == 0, listener.err
            assert listener.out == f"to {group}\n"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_addresses_in_matching_quotes_are_the_addresses(quote: str, at: list[str], loopback: str) -> None:
    """Shells that do not know single quotes, such as that of Windows, pass them on."""

    def quoted(text: str) -> str:
        return f"{quote}{text}{quote}"

    at = ["--port", at[1], "--iface", quoted(loopback)]
    where = ["--group", quoted(GROUP), "--groups", quoted(OTHER), "--source", quoted(loopback)]
    with start("RECV", *at, *where, "--use-std", "--timeout", "10") as listener:
        listener.until_joined(GROUP, OTHER)
        said = run("SAY", *at, "--group", quoted(OTHER), "-m", quoted("hello"))
        assert (said.returncode, said.stderr) == (0, b"")
        assert listener.finish() == 0, listener.err
        # The message is no address.
        assert listener.out == f"{quoted('hello')}\n"


def test_say_groups_receive_one_copy_each(at: list[str], loopback: str) -> None:
    with Receiver([GROUP, OTHER], int(at[1]), interface=loopback) as ear:
        assert run("SAY", *at, "--groups", GROUP, OTHER, "-m", "x").returncode == 0
        assert [ear.recv(timeout=10).group for _ in range(2)] == [GROUP, OTHER]


@pytest.mark.parametrize("name", ["lo", "1", "127.0.0.1"])
def test_interface_by_name_index_or_address_is_accepted(name: str, free_port: int) -> None:
    index = {"lo": "lo", "1": str(socket.if_nametoindex("lo")), "127.0.0.1": "127.0.0.1"}[name]
    at = ["--port", str(free_port), "--group", GROUP, "--iface", index]
    with start("--use-std", "RECV", *at, "--timeout", "10") as listener:
        listener.until_joined(GROUP)
        assert run("SAY", *at, "-m", "hello").returncode == 0
        assert listener.finish() == 0, listener.err
        assert listener.out == "hello\n"


@pytest.mark.parametrize("how", [["--pipe"], ["--message", "-"]])
@pytest.mark.parametrize(
    ("payload", "sizes"),
    [(b"", []), (b"\xff\x00\n", [3]), (b"x" * 65507, [65507]), ("é".encode() * 33000, [65506, 494])],
    ids=["empty", "bytes", "one", "two"],
)
def test_say_standard_input_arrives_unchanged(
    how: list[str], payload: bytes, sizes: list[int], at: list[str], loopback: str
) -> None:
    with Receiver(GROUP, int(at[1]), interface=loopback) as ear:
        said = run("SAY", *at, "--group", GROUP, *how, input=payload, env={"MULTICAST_BUFFER_SIZE": "65507"})
        assert (said.returncode, said.stderr) == (0, b"")
        run("SAY", *at, "--group", GROUP, "-m", "the end")
        pieces: list[bytes] = []
        while (piece := ear.recv(timeout=10).data) != b"the end":
            pieces.append(piece)
        assert b"".join(pieces) == payload
        # Each character has two bytes, so the last of the 65,507 bytes moves to the next datagram.
        assert [len(piece) for piece in pieces] == sizes


@pytest.mark.parametrize("blocking", [True, False])
def test_say_pipe_sends_what_arrives_at_once(blocking: bool, at: list[str], loopback: str) -> None:
    """``tail -f log | SAY --pipe`` is live, and a non-blocking standard input loses nothing."""
    reading, writing = os.pipe()
    os.set_blocking(reading, blocking)
    with (
        Receiver(GROUP, int(at[1]), interface=loopback) as ear,
        subprocess.Popen(
            [*MULTICAST, "SAY", *at, "--group", GROUP, "--pipe"], stdin=reading, stderr=subprocess.PIPE
        ) as say,
    ):
        os.close(reading)
        for line in (b"one\n", b"two\n", "three, a line that is longer: é\n".encode()):
            os.write(writing, line)
            assert ear.recv(timeout=10).data == line
            assert say.poll() is None
        long = b"x" * 50_000
        os.write(writing, long)
        os.close(writing)
        received = b""
        while len(received) < len(long):
            received += ear.recv(timeout=10).data
        assert received == long
        assert (say.wait(10), say.communicate()[1]) == (0, b"")


def test_say_pipe_binary_stream_arrives_in_pieces_of_the_buffer_size(at: list[str], loopback: str) -> None:
    """Seven packets of a transport stream are 1,316 bytes; what looks like a character must not move the cut."""
    packets = [b"G" + bytes([number]) * 186 + b"\xc3" for number in range(7 * 20)]
    units = [b"".join(packets[at : at + 7]) for at in range(0, len(packets), 7)]
    with Receiver(GROUP, int(at[1]), interface=loopback) as ear:
        said = run("SAY", *at, "--group", GROUP, "--pipe", input=b"".join(units))
        assert (said.returncode, said.stderr) == (0, b"")
        assert [ear.recv(timeout=10).data for _ in units] == units


@pytest.mark.parametrize(
    ("words", "payload"),
    [
        ([""], b""),
        (["a", "", "b"], b"a  b"),
        ([b"\xff\xfe"], b"\xff\xfe"),
        (["-x", "--", "--port", "5"], b"-x -- --port 5"),
        (["{name}", "{group}"], b"{name} {group}"),
        (["x" * 65507], b"x" * 65507),
    ],
    ids=["empty", "empty-word", "no-text", "options", "braces", "largest"],
)
def test_say_message_arrives_unchanged(
    words: "list[str | bytes]", payload: bytes, at: list[str], loopback: str
) -> None:
    with Receiver(GROUP, int(at[1]), interface=loopback) as ear:
        said = run("SAY", *at, "--group", GROUP, "-m", *words)
        assert said.returncode == 0
        assert (said.stderr == b"") is ("--port" not in words)
        assert ear.recv(timeout=10).data == payload


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["Hello", "--group", "239.1.2.3", "--ttl", "4"], "--group, --ttl"),
        (["Hello", "--ttl=4", "--ttl", "5"], "--ttl"),
        (["--pipe"], "--pipe"),
        (["-m", "x"], "-m"),
        (["Hello", "--daemon"], "--daemon"),
        (["Hello", "--groups-of", "-x", "--", "- 5"], ""),
        (["Hello --group 239.1.2.3"], ""),
    ],
)
def test_say_option_behind_the_message_is_sent_with_a_warning(
    words: list[str], named: str, at: list[str], loopback: str
) -> None:
    with Receiver(GROUP, int(at[1]), interface=loopback) as ear:
        said = run("SAY", *at, "--group", GROUP, "--message", *words)
        assert (said.returncode, said.stdout) == (0, b"")
        assert ear.recv(timeout=10).data == " ".join(words).encode()
    warning = f"multicast SAY: warning: {named} and what follows are part of the message (--message takes "
    if named:
        assert said.stderr.decode().startswith(warning)
        assert said.stderr.count(b"\n") == 1
    else:
        assert said.stderr == b""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-m", "Hello"], "sent 5 bytes to {group}, port {port}, from {iface}, with TTL 1"),
        (["-m", ""], "sent 0 bytes to {group}, port {port}, from {iface}, with TTL 1"),
        (
            ["--ttl", "9", "--pipe"],
            "sent 3 datagrams, 3,000 bytes, to {group}, port {port}, from {iface}, with TTL 9",
        ),
        (
            ["--groups", "239.4.6.8/30", "-m", "x"],
            "sent 1 byte to each of 5 groups, port {port}, from {iface}, with TTL 1",
        ),
    ],
)
def test_say_at_a_terminal_reports_what_was_sent_and_where(
    words: list[str], line: str, at: list[str], loopback: str
) -> None:
    screen, terminal = os.openpty()
    try:
        said = run("SAY", *at, "--group", GROUP, *words, input=b"x" * 3000, stderr=terminal)
        expected = line.format(group=GROUP, port=at[1], iface=loopback)
        assert os.read(screen, 10_000).decode() == f"multicast SAY: {expected}\r\n"
    finally:
        os.close(screen)
        os.close(terminal)
    assert (said.returncode, said.stdout) == (0, b"")


@pytest.mark.private_net
@pytest.mark.parametrize(
    ("groups", "where"),
    [
        (["239.4.6.1"], "239.4.6.1, port {port}, from lo"),
        (["ff02::4:6:1%veth0"], "ff02::4:6:1, port {port}, from veth0"),
        (["ff02::4:6:1%veth0", "ff02::4:6:2%lo"], "each of 2 groups, port {port}, from several interfaces"),
    ],
)
def test_say_at_a_terminal_reports_the_interface_that_was_chosen(
    groups: list[str], where: str, free_port: int
) -> None:
    screen, terminal = os.openpty()
    try:
        said = run("SAY", "--port", str(free_port), "--groups", *groups, "-m", "x", stderr=terminal)
        expected = f"sent 1 byte to {where.format(port=free_port)}, with TTL 1"
        assert os.read(screen, 10_000).decode() == f"multicast SAY: {expected}\r\n"
    finally:
        os.close(screen)
        os.close(terminal)
    assert said.returncode == 0


def test_recv_largest_datagram_is_printed_whole(at: list[str]) -> None:
    with start("RECV", *at, "--group", GROUP, "--use-std", "--timeout", "10") as listener:
        listener.until_joined(GROUP)
        run("SAY", *at, "--group", GROUP, "-m", "x" * 65507)
        assert listener.finish() == 0, listener.err
        assert listener.out == "x" * 65507 + "\n"


@pytest.mark.parametrize("ttl", ["0", "9"])
def test_say_ttl_is_sent(ttl: str, at: list[str], loopback: str) -> None:
    with Receiver(GROUP, int(at[1]), interface=loopback) as ear:
        run("SAY", *at, "--group", GROUP, "--ttl", ttl, "-m", "x")
        assert ear.recv(timeout=10).ttl == int(ttl)


def test_hear_raw_prints_exactly_the_bytes(at: list[str], loopback: str, tmp_path: Path) -> None:
    data = [bytes(range(256)) * 4, b"", b"\n\0\xff", b"STOP"]
    file = tmp_path / "bytes"
    words = ["--daemon", "--use-std", "HEAR", *at, "--group", GROUP, "--no-reply", "--raw"]
    with file.open("wb") as out, subprocess.Popen([*MULTICAST, *words], stdout=out) as listener:
        try:
            until_joined(GROUP, pid=listener.pid)
            with Sender(GROUP, int(at[1]), interface=loopback) as sender:
                sender.send_many(data)
            assert listener.wait(timeout=10) == 0
        finally:
            listener.kill()
    assert file.read_bytes() == b"".join(data)


def test_hear_no_stop_and_no_reply_keeps_listening_without_answers(at: list[str], loopback: str) -> None:
    with (
        start("--daemon", "--use-std", "HEAR", *at, "--group", GROUP, "--no-stop", "--no-reply") as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        listener.until_joined(GROUP)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(loopback))
        # The answers to the first two would be sent before the third message is printed.
        for text in (b"STOP", b"hello", b"the end"):
            client.sendto(text, (GROUP, int(at[1])))
            assert listener.line() == f"{text.decode()}\n"
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv(1000)
        assert listener.running


def test_console_script_is_the_same_as_the_module(at: list[str]) -> None:
    with Program(["multicast", "--version"]) as script, Program([*MULTICAST, "--version"]) as module:
        assert (script.finish(), module.finish()) == (0, 0)
        assert script.out == module.out
        assert script.out.startswith("multicast ")


def test_say_defaults_come_from_the_environment(loopback: str, free_port: int) -> None:
    env = {"MULTICAST_GROUP": GROUP, "MULTICAST_PORT": str(free_port), "MULTICAST_TTL": "7"}
    with Receiver(GROUP, free_port, interface=loopback) as ear:
        assert run("SAY", "--iface", loopback, "-m", "x", env=env).returncode == 0
        assert ear.recv(timeout=10).ttl == 7


@pytest.mark.parametrize(
    ("words", "part"),
    [(["--help"], b"CMD"), (["-h"], b"CMD"), (["SAY", "-h"], b"--pipe"), (["-v"], b"multicast ")],
)
def test_help_and_version_are_printed_on_standard_output(words: list[str], part: bytes) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert part in done.stdout


def test_hear_closed_output_pipe_exits_141(at: list[str], loopback: str) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*MULTICAST, "--daemon", "--use-std", "HEAR", *at, "--group", GROUP],
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as listener:
        os.close(writing)
        until_joined(GROUP, pid=listener.pid)
        os.close(reading)
        with Sender(GROUP, int(at[1]), interface=loopback) as sender:
            sender.send(b"hello")
        _, err = listener.communicate(timeout=10)
    assert (listener.returncode, err) == (141, b"")


def test_hear_drops_are_reported_while_they_happen_and_at_the_end(at: list[str], loopback: str) -> None:
    count = 60_000
    with (
        start("--daemon", "--use-std", "HEAR", *at, "--group", GROUP) as listener,
        Sender(GROUP, int(at[1]), interface=loopback) as sender,
    ):
        listener.until_joined(GROUP)
        # More than any receive buffer holds.
        listener.interrupt(signal.SIGSTOP)
        sender.send_many([b"x" * 100] * count)
        listener.interrupt(signal.SIGCONT)
        waiting.until(lambda: "so far" in listener.err, "a report of drops")
        assert listener.running
        sender.send(b"STOP")
        assert listener.finish() == 0, listener.err
    first, last = listener.err.splitlines()
    new, total = numbers_in(r"multicast HEAR: dropped ([\d,]+) datagrams, ([\d,]+) so far, .*\)", first)
    dropped, sent = numbers_in(r"multicast HEAR: dropped ([\d,]+) of ([\d,]+) datagrams \(.*\)", last)
    assert new == total == dropped
    assert sent == count + 1
    assert listener.out == ("x" * 100 + "\n") * (count - dropped) + "STOP\n"


def numbers_in(pattern: str, line: str) -> list[int]:
    found = re.fullmatch(pattern, line)
    assert found, line
    return [int(text.replace(",", "")) for text in found.groups()]
