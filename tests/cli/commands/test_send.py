"""``multicast send``: what it sends, at which rate, and what it reports."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from multicast import Receiver
from multicast.apps.numbered import HEADER, MAGIC
from tests.cli.running import GROUP, MULTICAST, assert_usage_error, run, start
from tests.support.programs import at_terminal, environment
from tests.support.terminal import OnTerminal

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


def test_words_are_sent_as_one_datagram_and_reported(free_port: int) -> None:
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("send", f"{GROUP}:{free_port}%lo", "hello", "world", "--ttl", "3")
        msg = rx.recv(timeout=10)
    assert (msg.data, msg.ttl) == (b"hello world", 3)
    assert (done.returncode, done.stdout) == (0, b"")
    report = f"sent 1 datagram, 11 bytes, to {GROUP}:{free_port} from lo, with TTL 3, in "
    assert done.stderr.decode().startswith(report)


def test_interface_of_the_routes_is_named_in_the_report(free_port: int) -> None:
    done = run("send", f"{GROUP}:{free_port}", "hello")
    assert f"to {GROUP}:{free_port} from lo, with TTL 1".encode() in done.stderr


def test_count_repeats_the_words_and_json_has_the_summary(free_port: int) -> None:
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("send", GROUP, "tick", "-p", str(free_port), "-i", "lo", "-c", "3", "--json")
        assert [rx.recv(timeout=10).data for _ in range(3)] == [b"tick"] * 3
    summary = json.loads(done.stdout)
    assert summary.pop("duration_s") > 0
    assert summary == {
        "type": "summary",
        "sent": 3,
        "failed": 0,
        "bytes": 12,
        "group": GROUP,
        "port": free_port,
        "interface": "lo",
        "ttl": 1,
    }
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["EP", "-i", "lo", "a", "b"], b"a b"),
        (["-i", "lo", "EP", "a", "b"], b"a b"),
        (["EP", "a", "-i", "lo", "b"], b"a b"),
        (["EP", "-i", "lo", "--", "-5", "degrees"], b"-5 degrees"),
    ],
    ids=str,
)
def test_options_may_stand_between_the_words(words: list[str], message: bytes, free_port: int) -> None:
    given = [f"{GROUP}:{free_port}" if word == "EP" else word for word in words]
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("send", *given)
        assert done.returncode == 0, done.stderr
        assert rx.recv(timeout=10).data == message


@pytest.mark.parametrize("words", [[], ["-"], ["--file", "-"]], ids=str)
def test_standard_input_is_sent_in_pieces(words: list[str], free_port: int) -> None:
    data = bytes(range(256)) * 10
    with Receiver(GROUP, free_port, interface="lo") as rx:
        assert run("send", f"{GROUP}:{free_port}%lo", *words, "--size", "1000", input=data).returncode == 0
        received = [rx.recv(timeout=10).data for _ in range(3)]
    assert b"".join(received) == data
    assert [len(one) for one in received] == [1000, 1000, 560]


def test_file_is_sent_in_pieces_at_the_bit_rate(free_port: int, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(os.urandom(10_000))
    with Receiver(GROUP, free_port, interface="lo") as rx:
        # 9 intervals of 8,000 bits at 80,000 bits per second.
        done = run(
            "send",
            f"{GROUP}:{free_port}%lo",
            "-f",
            str(file),
            "--size",
            "1000",
            "--bit-rate",
            "80k",
            "--json",
        )
        batch = [rx.recv(timeout=10) for _ in range(10)]
    assert b"".join(one.data for one in batch) == file.read_bytes()
    assert json.loads(done.stdout)["duration_s"] >= 0.9


def test_numbered_datagrams_have_numbers_times_and_one_run(free_port: int) -> None:
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run(
            "send", f"{GROUP}:{free_port}%lo", "--numbered", "-c", "50", "--rate", "500", "--size", "100"
        )
        messages = [rx.recv(timeout=10) for _ in range(50)]
    assert done.returncode == 0
    heads = [HEADER.unpack_from(one.data) for one in messages]
    assert {head[:2] for head in heads} == {(MAGIC, heads[0][1])}
    assert [head[2] for head in heads] == list(range(50))
    for head, one in zip(heads, messages, strict=True):
        assert one.timestamp_ns is not None
        assert 0 <= one.timestamp_ns - head[3] < 1_000_000_000
    assert {len(one.data) for one in messages} == {100}
    # 49 intervals of 2 ms.
    assert heads[-1][3] - heads[0][3] >= 49 * 2_000_000 * 0.9


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("words", [["--numbered"], ["tick", "-c", "1000000", "--rate", "100"]], ids=str)
def test_signal_ends_it_with_the_report(
    words: list[str], number: signal.Signals, code: int, free_port: int
) -> None:
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        start("send", f"{GROUP}:{free_port}%lo", *words) as tx,
    ):
        rx.recv(timeout=15)
        tx.interrupt(number)
        assert tx.finish(timeout=5) == code
    assert tx.err.startswith("sent ")


def test_sigusr1_prints_an_interim_summary_and_sending_continues(free_port: int) -> None:
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        start("send", f"{GROUP}:{free_port}%lo", "--numbered", "--json") as tx,
    ):
        rx.recv(timeout=15)
        tx.interrupt(signal.SIGUSR1)
        interim = json.loads(tx.line())
        assert interim["type"] == "interim"
        while HEADER.unpack_from(rx.recv(timeout=5).data)[2] < interim["sent"]:
            pass
        tx.interrupt()
        assert tx.finish(timeout=5) == 130
        summary = json.loads(tx.out.splitlines()[-1])
        assert summary["type"] == "summary"
        assert summary["sent"] > interim["sent"]


def test_signal_while_waiting_for_input_ends_it_at_once(free_port: int) -> None:
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        subprocess.Popen(
            [*MULTICAST, "send", f"{GROUP}:{free_port}%lo"],
            env=environment(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as program,
    ):
        assert program.stdin is not None
        program.stdin.write(b"live")
        program.stdin.flush()
        assert rx.recv(timeout=15).data == b"live"
        program.send_signal(signal.SIGINT)
        assert program.wait(5) == 130
        assert program.communicate()[1].startswith(b"sent 1 datagram, 4 bytes")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: ENDPOINT"),
        (["10.0.0.1", "x"], "must be a multicast address"),
        (["239.1.2.0/24", "x"], "must be one group, got '239.1.2.0/24'"),
        (["10.0.0.1@232.1.1.1", "x"], "must not name a source"),
        (["239.1.2.3", "x", "--numbered"], "argument WORD: not allowed with --file, --numbered or --pattern"),
        (["239.1.2.3", "--numbered", "--size", "23"], "must be at least 24 with --numbered, got 23"),
        (["239.1.2.3", "x", "--size", "23"], "argument --size: not allowed with words"),
        (["239.1.2.3", "-c", "2"], "argument -c/--count: needs words, --size, --numbered or --pattern"),
        (["239.1.2.3", "-f", "x", "--pattern", "zero"], "argument --pattern: not allowed with --file"),
        (
            ["239.1.2.3", "x", "--from", "239.1.2.4:5"],
            "must be an address of this machine, got '239.1.2.4:5'",
        ),
        (["239.1.2.3", "x", "--from", "nowhere"], "must be ADDRESS, ADDRESS:PORT or :PORT, such as"),
        (["239.1.2.3", "x", "--dscp", "64"], "must be a number from 0 to 63, got '64'"),
        (["239.1.2.3", "x", "--rate", "0"], "must be a number above 0, such as 1000, 1k or 2.5M"),
        (["239.1.2.3", "x", "--rate", "0k"], "must be a number above 0, such as 1000, 1k or 2.5M, got '0k'"),
        (["239.1.2.3", "x", "--ttl", "256"], "must be a number of hops from 0 to 255"),
    ],
    ids=str,
)
def test_usage_error_is_one_sentence_after_the_usage(words: list[str], message: str) -> None:
    assert_usage_error("send", words, message)


def test_missing_file_is_named() -> None:
    done = run("send", f"{GROUP}:5000%lo", "--file", "/nonexistent/file")
    assert done.returncode == 66
    assert b"multicast send: cannot read /nonexistent/file: No such file or directory" in done.stderr


def test_local_address_port_and_class_are_those_of_the_datagrams(free_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rx:
        rx.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rx.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        rx.bind((GROUP, free_port))
        joined = socket.inet_aton(GROUP) + socket.inet_aton("192.0.2.2")
        rx.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        rx.settimeout(10)
        words = ["--from", f"192.0.2.2:{free_port}", "--dscp", "46", "--json"]
        done = run("send", f"{GROUP}:{free_port}", "x", *words)
        data, headers, _, sender = rx.recvmsg(10, 64)
    assert (done.returncode, data, sender) == (0, b"x", ("192.0.2.2", free_port))
    assert [value[0] for _, kind, value in headers if kind == socket.IP_TOS] == [46 << 2]
    assert json.loads(done.stdout)["interface"] == "veth0"


@pytest.mark.parametrize("words", [[], ["--numbered"]], ids=["plain", "numbered"])
@pytest.mark.parametrize("pattern", ["zero", "count", "random"])
def test_pattern_fills_the_datagrams(pattern: str, words: list[str], free_port: int) -> None:
    count = ["--pattern", pattern, "--size", "600", "-c", "2"]
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("send", f"{GROUP}:{free_port}%lo", *count, *words)
        messages = [rx.recv(timeout=10).data for _ in range(2)]
    assert done.returncode == 0, done.stderr
    assert [len(message) for message in messages] == [600, 600]
    assert [message.startswith(MAGIC) for message in messages] == [bool(words)] * 2
    one, other = (message[HEADER.size if words else 0 :] for message in messages)
    expected = {"zero": bytes(len(one)), "count": (bytes(range(256)) * 3)[: len(one)]}
    if pattern in expected:
        assert one == other == expected[pattern]
    else:
        assert one != other
        assert len(set(one)) > 150


def test_count_and_size_alone_send_zeros_at_the_usual_rate(free_port: int) -> None:
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("send", f"{GROUP}:{free_port}%lo", "--size", "600", "-c", "3")
        assert [rx.recv(timeout=10).data for _ in range(3)] == [bytes(600)] * 3
    assert done.stderr.startswith(b"sent 3 datagrams, 1,800 bytes, ")


def test_missing_route_is_reported_alone() -> None:
    done = subprocess.run(
        ["unshare", "--net", *MULTICAST, "send", f"{GROUP}:5000", "x"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"multicast send: cannot send to {GROUP}:5000: ")


def test_progress_is_shown_at_a_terminal_and_removed(free_port: int) -> None:
    words = [*MULTICAST, "send", f"{GROUP}:{free_port}%lo", "x", "-c", "30", "--rate", "20"]
    done = at_terminal(words)
    assert done.returncode == 0
    assert re.search(rb"\rsent \d+ datagrams  \[#+ +\]   \d\d%  0:0\d left\x1b\[K", done.stdout)
    assert done.stdout.rpartition(b"\r\x1b[K")[2].startswith(b"sent 30 datagrams, 30 bytes, to ")


def test_words_and_files_are_handed_to_the_kernel_together(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    file, calls = tmp_path / "data", tmp_path / "calls"
    file.write_bytes(bytes(64_000))
    for words in (["x", "-c", "640"], ["-f", str(file), "--size", "100"]):
        command = [*MULTICAST, "send", f"{GROUP}:{free_port}%lo", *words]
        trace = [tool("strace"), "-f", "-e", "trace=sendto,sendmsg,sendmmsg", "-o", str(calls)]
        done = subprocess.run([*trace, *command], env=environment(), capture_output=True, check=False)
        assert b"sent 640 datagrams" in done.stderr
        assert calls.read_text().count("htons(") < 100


def test_pipe_is_not_held_back(free_port: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = [f"{GROUP}:{free_port}%lo", "--size", "100", "-f", str(pipe)]
    with Receiver(GROUP, free_port, interface="lo") as rx, start("send", *words) as program:
        with pipe.open("wb", buffering=0) as live:
            live.write(bytes(100))
            assert rx.recv(timeout=10).data == bytes(100)
        assert program.finish() == 0


@pytest.mark.parametrize("command", ["send", "SAY"])
def test_typing_at_a_terminal_is_explained(command: str, free_port: int) -> None:
    words = {
        "send": [f"{GROUP}:{free_port}%lo"],
        "SAY": ["--group", GROUP, "--port", str(free_port), "--iface", "lo", "--message", "-"],
    }[command]
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        OnTerminal(*MULTICAST, command, *words) as program,
    ):
        program.until(lambda: "sending each line that you type (Ctrl-D ends)" in program.output, "hint")
        program.type("hello\n")
        assert rx.recv(timeout=10).data == b"hello\n"
        program.type("\x04")
        assert program.finish() == 0
