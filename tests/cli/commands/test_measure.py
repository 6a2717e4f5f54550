"""``multicast measure``: figures compared with a known truth."""

import json
import re
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multicast import Receiver, Sender
from multicast.apps.numbered import numbered
from tests.cli.running import GROUP, MULTICAST, OTHER, run, start
from tests.support import waiting
from tests.support.hosts import Host
from tests.support.programs import Program, environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

# Two runs of a sender after a relay that loses, repeats and reorders: (run, number), in order of arrival.
ARRIVALS = [(1, number) for number in (0, 1, 2, 5, 4, 4, 9, 10, 12, 11)] + [(2, n) for n in (0, 1, 1, 4)]
TRUTH = {"received": 14, "lost": 6, "duplicates": 2, "reordered": 2, "gaps": 3, "restarts": 1}


@contextmanager
def measuring(*words: str, groups: tuple[str, ...] = (GROUP,)) -> Generator[Program]:
    with start("measure", *words) as program:
        program.until_joined(*groups)
        yield program


def summary(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program.out.splitlines()[-1])
    assert found["type"] == "summary"
    return found


def test_disorder_of_a_relay_is_measured_exactly(free_port: int, tmp_path: Path) -> None:
    report = tmp_path / "report"
    words = [f"{GROUP}:{free_port}%lo", "-c", "14", "--json", "--report", str(report)]
    with measuring(*words) as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            for run_id, number in ARRIVALS:
                tx.send(numbered(run_id, number, time.time_ns(), 100))
        assert program.finish() == 0, program.err
    found = summary(program)
    (stream,) = found["streams"]
    assert {name: stream[name] for name in TRUTH} == TRUTH
    assert (stream["kind"], stream["group"], stream["port"]) == ("numbered", GROUP, free_port)
    assert (stream["lost_network"], stream["lost_kernel"], stream["lost_program"]) == (6, 0, 0)
    assert stream["delay_us"]["meaning"] == "absolute"
    assert 0 < stream["delay_us"]["p50"] <= stream["delay_us"]["p99"] <= stream["delay_us"]["max"] < 1_000_000
    *gaps, last = map(json.loads, report.read_text().splitlines())
    assert [(gap["first"], gap["last"]) for gap in gaps] == [(3, 3), (6, 8), (2, 3)]
    assert all(0 < gap["since_ns"] < gap["until_ns"] for gap in gaps)
    assert last == found


def test_loss_while_the_program_is_stopped_is_that_of_the_kernel(free_port: int) -> None:
    count = 4000
    with measuring(f"{GROUP}:{free_port}%lo", "--json", "--recv-buffer", "100000") as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(numbered(1, 0, time.time_ns(), 500))
            program.interrupt(signal.SIGUSR1)
            assert json.loads(program.line())["type"] == "interim"
            program.interrupt(signal.SIGSTOP)
            # One number is lost before it reaches this machine.
            tx.send_many(
                [numbered(1, number, time.time_ns(), 500) for number in range(1, count) if number != 7]
            )
            program.interrupt(signal.SIGCONT)
            until_counted(program, count - 1)
            tx.send(numbered(1, count, time.time_ns(), 500))
            until_counted(program, count)
        program.interrupt()
        assert program.finish() == 130, program.err
    (stream,) = summary(program)["streams"]
    assert stream["lost"] == count + 1 - stream["received"]
    assert stream["lost_kernel"] > 0
    assert (stream["lost_network"], stream["lost_program"]) == (1, 0)
    assert "dropped" in program.err


def until_counted(program: Program, count: int) -> None:
    """Request interim summaries until so many datagrams were received or dropped."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        program.interrupt(signal.SIGUSR1)
        found = json.loads(program.line())
        if found["received"] + found["kernel_drops"] == count:
            return
    raise AssertionError(f"the summary did not change; it printed:\n{program.out}")


def test_streams_of_several_groups_are_measured_apart(free_port: int) -> None:
    endpoints = [f"{group}:{free_port}%lo" for group in (GROUP, OTHER)]
    with measuring(*endpoints, "-c", "5", "--json", groups=(GROUP, OTHER)) as program:
        for group, numbers in ((GROUP, (0, 1, 3)), (OTHER, (0, 5))):
            with Sender(group, free_port, interface="lo") as tx:
                tx.send_many([numbered(1, number, time.time_ns()) for number in numbers])
        assert program.finish() == 0, program.err
    assert {(one["group"], one["received"], one["lost"]) for one in summary(program)["streams"]} == {
        (GROUP, 3, 1),
        (OTHER, 2, 4),
    }


def test_send_between_hosts_is_measured_without_loss(hosts: list[Host]) -> None:
    here, there = hosts[:2]
    python = [*MULTICAST]
    where = "239.4.6.9:50123%eth0"
    with here.popen(
        *python, "measure", where, "-c", "200", "-t", "15", "--max-loss", "0", "--max-latency", "500"
    ) as program:
        look = "until grep --quiet 090604EF /proc/net/igmp; do :; done"
        assert here.run("bash", "-c", look).returncode == 0
        assert there.run(*python, "send", where, "--numbered", "-c", "200", "--rate", "1k").returncode == 0
        out, err = program.communicate(timeout=30)
    assert program.returncode == 0, err
    fields = out.rstrip("\n").split("\t")
    assert fields[0].startswith(there.ipv4 + ":")
    assert fields[1:10] == ["239.4.6.9:50123", "200", "0", "0", "0", "0", "0", "0", "0"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--max-loss", "25"], 0),
        (["--max-loss", "24.9"], 1),
        (["--max-latency", "1000"], 0),
        (["--max-latency", "0"], 1),
        (["--expect", "4"], 1),
    ],
    ids=str,
)
def test_condition_decides_the_exit_code(words: list[str], code: int, free_port: int) -> None:
    with measuring(f"{GROUP}:{free_port}%lo", "-c", "3", *words) as program:
        with Sender(GROUP, free_port, interface="lo") as tx:
            for number in (0, 1, 3):
                tx.send(numbered(1, number, time.time_ns()))
        assert program.finish() == code


def test_terminal_gets_a_table_with_units(free_port: int) -> None:
    words = " ".join([*MULTICAST, "measure", f"{GROUP}:{free_port}%lo", "-c", "3"])
    with Program(
        ["script", "-qec", words, "/dev/null"], env=environment(COLUMNS="200", NO_COLOR="1")
    ) as program:
        program.until_joined(GROUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([numbered(1, number, time.time_ns()) for number in (0, 1, 3)])
        assert program.finish() == 0, program.err
    _, head, row, _ = program.out.splitlines()
    assert head.split("  ")[0] == "SENDER"
    assert re.findall(r"RATE|JITTER|DELAY P50|DELAY P99|DELAY MAX", head)[-1] == "DELAY MAX"
    assert re.search(rf"{GROUP}:{free_port} .* [\d.]+/s +[\d.]+ us +[\d.]+ us +[\d.]+ us +[\d.]+ us$", row)


def test_nothing_received_ends_with_70(free_port: int) -> None:
    done = run("measure", f"{GROUP}:{free_port}%lo", "-d", "0.2", "--json")
    assert done.returncode == 70
    assert json.loads(done.stdout)["streams"] == []


def test_report_that_cannot_be_written_is_an_error(free_port: int) -> None:
    # At once: without a limit, the measurement would go on until the test fails.
    done = run("measure", f"{GROUP}:{free_port}%lo", "--report", "/nonexistent/report")
    assert done.returncode == 66
    assert b"cannot write /nonexistent/report: No such file or directory" in done.stderr


# Datagrams that the relay loses, and those that it sends only after the next one, by number.
LOST, LATE = {5, 6, 7, 40, 41, 99, 150}, {20, 60, 120, 121}


def test_losses_and_order_are_those_that_iperf_reports(
    tool: Callable[[str], str], loopback: str, free_port: int
) -> None:
    iperf, to = tool("iperf"), f"{OTHER}%lo"
    amount = ["-l", "200", "-n", str(200 * 200), "-b", "1000pps"]
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        Sender(OTHER, free_port, interface="lo") as tx,
        Program([iperf, "-s", "-u", "-f", "k", "-p", str(free_port), "-B", to]) as server,
        measuring(f"{OTHER}:{free_port}%lo", "--json", groups=(OTHER,)) as measure,
    ):
        server.until_bound(free_port)
        client = ["-u", "-c", GROUP, "-B", loopback, "-p", str(free_port), *amount]
        with Program([iperf, *client]) as sending:
            held: list[bytes] = []
            while True:
                data = rx.recv(timeout=10).data
                number = int.from_bytes(data[:4], "big", signed=True)
                if number in LATE:
                    held.append(data)
                elif number not in LOST:
                    tx.send_many([data, *held])
                    held = []
                if number < 0:
                    break
            assert sending.finish() == 0, sending.err
        found = re.compile(r" (\d+)/ *(\d+) \(.*%\)")
        waiting.until(lambda: found.search(server.out), "the report of iperf")
        measure.interrupt()
        assert measure.finish() == 130
    report = found.search(server.out)
    late = re.search(r"(\d+) datagrams received out-of-order", server.out)
    assert report is not None
    assert late is not None, server.out
    (stream,) = summary(measure)["streams"]
    assert (stream["lost"], stream["lost_network"], stream["reordered"]) == (len(LOST), len(LOST), len(LATE))
    assert (int(report[1]), int(late[1])) == (stream["lost"], stream["reordered"]), server.out
