"""``multicast ping``: replies and results as text and as JSON, the answering side, and the exit codes."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.running import MULTICAST, run
from tests.support.programs import Program, environment
from tests.wire.lab import Lab, lab

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP = "239.2.2.2"
HERE = f"{GROUP}%eth0"


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.fixture
def responder(net: Lab) -> Iterator[Program]:
    with Program(net.far.command(*MULTICAST, "ping", HERE, "--answer")) as program:
        program.until_joined(GROUP)
        yield program


def ping(net: Lab, *words: str) -> "subprocess.CompletedProcess[str]":
    quick = ["--interval", "0.05", "-t", "0.3"]
    return net.near.run(*MULTICAST, "ping", *quick, *words, env=environment())


def test_ping_json_has_replies_hosts_and_a_summary(net: Lab, responder: Program) -> None:
    done = ping(net, "--json", "-c", "2", HERE)
    assert done.returncode == 0, done.stderr
    *replies, host, summary = map(json.loads, done.stdout.splitlines())
    assert [(one["type"], one["host"], one["kind"], one["seq"], one["hops"]) for one in replies] == [
        ("reply", "10.78.0.2", kind, number, 0) for number in (1, 2) for kind in ("unicast", "multicast")
    ]
    assert (host["type"], host["host"]) == ("host", "10.78.0.2")
    for kind in ("unicast", "multicast"):
        assert list(host[kind]) == [
            "sent",
            "received",
            "loss_percent",
            "late_loss_percent",
            "duplicates",
            "hops",
            "min_ms",
            "avg_ms",
            "max_ms",
            "stddev_ms",
        ]
        assert (host[kind]["sent"], host[kind]["received"], host[kind]["loss_percent"]) == (2, 2, 0)
    assert summary == {"type": "summary", "sent": 2, "hosts": 1}


def test_ping_text_has_a_line_for_each_reply_and_result(net: Lab, responder: Program) -> None:
    done = ping(net, "-c", "1", HERE)
    first, second, *results = done.stdout.splitlines()
    assert first.startswith("10.78.0.2: unicast seq=1 hops=0 time=")
    assert second.startswith("10.78.0.2: multicast seq=1 hops=0 time=")
    assert [line.partition(", min/avg")[0] for line in results] == [
        f"10.78.0.2: {kind} 1/1 received, 0% lost (0% from seq 2)" for kind in ("unicast", "multicast")
    ]
    assert done.stderr == f"pinging {GROUP}, replies to {GROUP}\n1 request sent, 1 host answered\n"


def test_ping_quiet_prints_the_results_alone(net: Lab, responder: Program) -> None:
    done = ping(net, "-q", "-c", "1", HERE)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


@pytest.mark.parametrize(("hosts", "code"), [("1", 0), ("2", 1)])
def test_ping_expectation_decides_the_exit_code(net: Lab, responder: Program, hosts: str, code: int) -> None:
    assert ping(net, "-c", "1", "--expect", hosts, HERE).returncode == code


def test_ping_without_replies_exits_with_70(net: Lab) -> None:
    assert ping(net, "-q", "-c", "1", "--expect", "1", HERE).returncode == 70
    done = ping(net, "-c", "1", HERE)
    assert (done.returncode, done.stdout) == (70, "")
    *_, summary, advice = done.stderr.splitlines()
    assert summary == "1 request sent, 0 hosts answered"
    group = HERE.partition("%")[0]
    assert advice == f"no host answered (run this on the hosts to reach: multicast ping {group} --answer)"


def test_ping_answers_are_reported_and_end_with_a_summary(net: Lab, responder: Program) -> None:
    ping(net, "-c", "1", HERE)
    assert responder.line() == f"answered 10.78.0.1: seq=1 group={GROUP}\n"
    responder.interrupt(signal.SIGTERM)
    assert responder.finish() == 143
    assert responder.err == f"answering requests to {GROUP} on port 4321\n1 request answered\n"


def test_ping_ends_after_the_duration(net: Lab, responder: Program) -> None:
    done = ping(net, "-d", "0.3", HERE)
    assert done.returncode == 0, done
    assert "requests sent, 1 host answered\n" in done.stderr
    answering = net.near.run(*MULTICAST, "ping", "--answer", "-d", "0.1", HERE, env=environment())
    assert (answering.returncode, answering.stderr.splitlines()[-1]) == (0, "0 requests answered")


def test_ping_ends_by_ctrl_c_with_its_results(net: Lab, responder: Program) -> None:
    with Program(net.near.command(*MULTICAST, "ping", HERE)) as program:
        program.line_with("multicast seq=1")
        program.interrupt()
        assert program.finish() == 130
        assert "10.78.0.2: multicast " in program.out.splitlines()[-1]


def test_ping_sigusr1_without_any_reply_prints_an_interim_summary(net: Lab) -> None:
    with Program(net.near.command(*MULTICAST, "ping", "--json", HERE)) as program:
        program.until_joined(GROUP)
        program.interrupt(signal.SIGUSR1)
        interim = json.loads(program.line())
        assert (interim["type"], interim["hosts"]) == ("interim", 0)
        program.interrupt()
        assert program.finish() == 130
        assert json.loads(program.out.splitlines()[-1])["type"] == "summary"


def test_ping_answer_sigusr1_prints_an_interim_summary(net: Lab) -> None:
    with Program(net.near.command(*MULTICAST, "ping", "--json", "--answer", HERE)) as program:
        program.until_joined(GROUP)
        program.interrupt(signal.SIGUSR1)
        assert json.loads(program.line()) == {"type": "interim", "answered": 0}
        program.interrupt()
        assert program.finish() == 130


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "the following arguments are required: ENDPOINT"),
        (["10.0.0.1"], 2, "must be a multicast address"),
        (["10.0.0.1,10.0.0.2@232.1.2.3"], 65, "source must be one address"),
        (["--interval", "0", "239.1.2.3"], 2, "argument --interval: must be a number above 0, got '0'"),
        (["239.1.2.0/24"], 65, "group must be one multicast address, got '239.1.2.0/24'"),
    ],
    ids=["no-endpoint", "no-group", "several-sources", "no-interval", "several-groups"],
)
def test_ping_wrong_argument_is_reported(words: list[str], code: int, message: str) -> None:
    done = run("ping", *words)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()
