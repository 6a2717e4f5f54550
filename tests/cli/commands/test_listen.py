"""``multicast listen``: what arrives as text, as JSON and as bytes, and how it ends."""

import json
import os
import re
import select
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from multicast import Sender
from multicast.cli.commands.listen import Clock
from tests.cli.running import GROUP, MULTICAST, OTHER, assert_usage_error, run, start
from tests.support.programs import Program
from tests.support.waiting import until, until_read

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@contextmanager
def listening(*words: str, groups: tuple[str, ...] = (GROUP,)) -> Generator[Program]:
    """Start the command, and wait until it has joined."""
    with start("listen", *words) as program:
        program.until_joined(*groups)
        yield program


def records(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.out.splitlines()]


def test_payloads_are_lines_and_the_rest_is_on_standard_error(free_port: int) -> None:
    with listening(f"{GROUP}:{free_port}%lo", "-c", "3") as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"one", "zwölf\n".encode(), b"a\nb\xff"])
        assert program.finish() == 0
    assert program.out == "one\nzwölf\na\\x0ab\\xff\n"
    joined, summary = program.err.splitlines()
    assert joined == f"listening to {GROUP}:{free_port} on lo"
    assert summary.startswith("received 3 datagrams, 14 bytes, dropped 0 here in ")


def test_interface_and_port_options_complete_the_endpoint(free_port: int) -> None:
    with listening(GROUP, "-i", "lo", "-p", str(free_port), "-c", "1", "-q") as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"hello")
        assert program.finish() == 0
    assert (program.out, program.err) == ("hello\n", "")


def test_environment_gives_the_endpoint() -> None:
    done = run(
        "listen", "-i", "lo", "-d", "0", env={"MULTICAST_PORT": "50123", "MULTICAST_GROUP": "239.4.6.9"}
    )
    assert done.stderr.splitlines()[0] == b"listening to 239.4.6.9:50123 on lo"


def test_json_has_every_field_and_a_summary(free_port: int) -> None:
    with listening(f"{GROUP}:{free_port}%lo", "-c", "2", "--json") as program:
        with Sender(GROUP, free_port, interface="lo", ttl=3) as tx:
            tx.send_many([b"text", b"\xff\x00"])
        assert program.finish() == 0
    text, data, summary = records(program)
    assert list(text) == [
        "type",
        "timestamp_ns",
        "sender",
        "sender_port",
        "group",
        "port",
        "interface",
        "ttl",
        "length",
        "text",
    ]
    assert text["type"] == "datagram"
    assert (text["group"], text["port"], text["interface"], text["ttl"]) == (GROUP, free_port, "lo", 3)
    assert (text["length"], text["text"]) == (4, "text")
    assert (data["length"], data["base64"]) == (2, "/wA=")
    duration = summary.pop("duration_s")
    assert duration > 0
    assert summary == {
        "type": "summary",
        "received": 2,
        "bytes": 6,
        "kernel_drops": 0,
        "ring_drops": 0,
        "filtered": 0,
        "truncated": 0,
        "invalid": 0,
        "unassembled": 0,
    }


def test_verbose_line_has_metadata_before_the_payload(free_port: int) -> None:
    with listening(f"{GROUP}:{free_port}%lo", "-c", "1", "-v") as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"hello")
        assert program.finish() == 0
    moment, sender, group, *rest = program.out.rstrip("\n").split("\t")
    assert moment[10] == "T"
    assert re.fullmatch(r"192\.0\.2\.2:\d+|127\.0\.0\.1:\d+", sender)
    assert group == f"{GROUP}:{free_port}"
    assert rest == ["lo", "ttl 1", "5 B", "hello"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_times_have_the_zone_of_this_machine(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    clock, of_the_day = Clock(in_full=True), Clock(in_full=False)
    # In one second, in the next one, and on both sides of a change from summer time.
    for microseconds in (7, 999_999, 1_000_000, 1_792_890_000_000_000, 1_795_832_515_000_042):
        moment = datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=microseconds)
        local = moment.astimezone()
        assert clock.time(microseconds * 1000 + 999) == local.isoformat(timespec="microseconds")
        assert of_the_day.time(microseconds * 1000) == f"{local:%H:%M:%S.%f}"
    assert clock.time(None) == "-"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("words", [["--raw"], ["--format", "raw"]], ids=" ".join)
def test_raw_output_is_byte_for_byte(words: list[str], free_port: int) -> None:
    payloads = [bytes(range(256)) * 4, b"\n\0\xff", b"", b"end"]
    with listening(f"{GROUP}:{free_port}%lo", "-c", "4", "-q", "-t", "5", "--format", "hex") as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many(payloads)
        assert program.finish() == 0
    assert [bytes.fromhex(line) for line in program.out.split("\n")[:-1]] == payloads
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        process = start_into(writing, f"{GROUP}:{free_port}%lo", "-c", "4", *words)
        os.close(writing)
        with process:
            process.until_joined(GROUP)
            with Sender(GROUP, free_port, interface="lo") as tx:
                tx.send_many(payloads)
            assert pipe.read() == b"".join(payloads)
            assert process.finish() == 0


def start_into(descriptor: int, *words: str) -> Program:
    """Start the command with its standard output into a descriptor."""
    script = f'exec "$@" >&{descriptor}'
    return Program(["bash", "-c", script, "bash", *MULTICAST, "listen", *words], pass_fds=(descriptor,))


def test_several_ports_are_received_at_once(free_port: int) -> None:
    endpoints = [f"{GROUP}:{free_port}%lo", f"{OTHER}:{free_port + 1}%lo"]
    with listening(*endpoints, "-c", "2", "--json", groups=(GROUP, OTHER)) as program:
        for group, port in ((GROUP, free_port), (OTHER, free_port + 1)):
            with Sender(group, port, interface="lo") as tx:
                tx.send(group.encode())
        assert program.finish() == 0
    *datagrams, summary = records(program)
    assert {(one["group"], one["port"], one["text"]) for one in datagrams} == {
        (GROUP, free_port, GROUP),
        (OTHER, free_port + 1, OTHER),
    }
    assert summary["received"] == 2


@pytest.mark.parametrize("words", [["-t", "0.2"], ["-d", "0.2"]], ids=" ".join)
def test_listening_in_vain_ends_with_70(words: list[str], free_port: int) -> None:
    done = run("listen", f"{GROUP}:{free_port}%lo", *words)
    assert (done.returncode, done.stdout) == (70, b"")
    summary, advice = done.stderr.splitlines()[-2:]
    assert summary.startswith(b"received 0 datagrams, 0 bytes, dropped 0 here in 0.")
    assert advice.decode() == f"nothing arrived (find out why: multicast doctor {GROUP}:{free_port}%lo)"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--expect", "3"], 0),
        (["--expect", "4"], 1),
        (["--expect", "4", "--max-loss", "25"], 0),
        (["--expect", "4", "--max-loss", "24.9"], 1),
        (["--max-loss", "0"], 0),
    ],
    ids=str,
)
def test_condition_decides_the_exit_code(words: list[str], code: int, free_port: int) -> None:
    with listening(f"{GROUP}:{free_port}%lo", "-c", "3", *words) as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"1", b"2", b"3"])
        assert program.finish() == code


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_ends_it_with_the_summary(number: signal.Signals, code: int, free_port: int) -> None:
    with listening(f"{GROUP}:{free_port}%lo", "--json") as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"hello")
        assert json.loads(program.line())["text"] == "hello"
        program.interrupt(number)
        assert program.finish() == code
    assert records(program)[-1]["type"] == "summary"
    assert records(program)[-1]["received"] == 1


def test_sighup_ignored_at_the_start_stays_ignored(free_port: int) -> None:
    """``nohup`` starts a command so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program = start("listen", f"{GROUP}:{free_port}%lo", "-c", "1")
    finally:
        signal.signal(signal.SIGHUP, before)
    with program:
        program.until_joined(GROUP)
        program.interrupt(signal.SIGHUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"hello")
        assert program.finish() == 0
    assert program.out == "hello\n"


def test_sigusr1_prints_an_interim_summary(free_port: int) -> None:
    with listening(f"{GROUP}:{free_port}%lo", "--json") as program:
        program.interrupt(signal.SIGUSR1)
        interim = json.loads(program.line())
        assert (interim["type"], interim["received"]) == ("interim", 0)
        program.interrupt()
        assert program.finish() == 130
    assert [one["type"] for one in records(program)] == ["interim", "summary"]


def test_filtered_datagrams_are_reported_while_they_happen(free_port: int) -> None:
    # Bound to the wildcard address, because there are two groups, it also gets what is sent to its port alone.
    endpoints = [f"{group}:{free_port}%lo" for group in (GROUP, OTHER)]
    with listening(*endpoints, groups=(GROUP, OTHER)) as program:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tx:
            tx.sendto(b"not to a group", ("127.0.0.1", free_port))
        report = (
            "multicast listen: filtered 1 datagram of groups, interfaces or senders that were not joined\n"
        )
        until(lambda: report in program.err, "the report")
        program.interrupt()
        assert program.finish() == 130
    assert program.err.count("filtered 1") == 2, program.err
    assert "filtered 1, dropped 0 here in" in program.err


def test_pipe_that_nobody_reads_does_not_delay_the_end(free_port: int) -> None:
    reading, writing = os.pipe()
    process = start_into(writing, f"{GROUP}:{free_port}%lo", "--raw")
    try:
        with process:
            process.until_joined(GROUP)
            with Sender(GROUP, free_port, interface="lo") as tx:
                tx.send_many([bytes(1000)] * 200)
            until(lambda: not select.select([], [writing], [], 0)[1], "a full pipe")
            until_read(free_port)
            process.interrupt()
            assert process.finish(timeout=5) == 130
    finally:
        os.close(writing)
        os.close(reading)
    assert "standard output was not read" in process.err
    counted = re.search(r"received (\d+) datagrams, .* dropped (\d+) here", process.err)
    assert counted
    assert int(counted[1]) + int(counted[2]) == 200


def test_closed_pipe_ends_quietly(free_port: int) -> None:
    reading, writing = os.pipe()
    process = start_into(writing, f"{GROUP}:{free_port}%lo", "-q")
    os.close(writing)
    os.close(reading)
    with process:
        process.until_joined(GROUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"hello")
        assert process.finish(timeout=5) == 141
    assert process.err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["10.0.0.1:5000"], "argument ENDPOINT: must be a multicast address"),
        (["239.1.2.3:x"], "the port of '239.1.2.3:x' must be a number from 0 to 65535"),
        (["239.1.2.3:0"], "must have a UDP port from 1 to 65535"),
        (["239.1.2.3:1", "-p", "2"], "the port is given twice, in 239.1.2.3:1 and as 2"),
        (["-c", "0"], "argument -c/--count: must be a number of datagrams from 1 to"),
        (["-t", "-1"], "must be a number of seconds, 0 or more"),
        (["--max-loss", "101"], "must be a percentage from 0 to 100"),
        (["--raw", "--json"], "argument --json: not allowed with --raw"),
    ],
    ids=str,
)
def test_usage_error_is_one_sentence_after_the_usage(words: list[str], message: str) -> None:
    assert_usage_error("listen", words, message)


def test_missing_interface_is_an_error_with_a_hint() -> None:
    done = run("listen", "239.1.2.3:5000%nosuch0")
    assert done.returncode == 2
    assert done.stderr.startswith(b"multicast listen: cannot ")
    assert b"nosuch0" in done.stderr
