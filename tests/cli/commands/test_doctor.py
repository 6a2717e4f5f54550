"""``multicast doctor``: the findings as text, as lines and as JSON, its exit codes and its end by a signal."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.running import MULTICAST, run
from tests.support import waiting
from tests.support.programs import Program, environment
from tests.wire.faults import traffic
from tests.wire.lab import Lab, feed, lab

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP, OTHER, PORT = "239.7.8.9", "239.7.8.10", 50_791
HERE = f"{GROUP}:{PORT}%eth0"


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


def doctor(net: Lab, *words: str) -> "subprocess.CompletedProcess[str]":
    return net.near.run(*MULTICAST, "doctor", "-d", "0.4", *words, env=environment())


def test_doctor_json_has_a_finding_and_a_summary(net: Lab) -> None:
    with feed(net.far, GROUP, PORT):
        done = doctor(net, "--json", f"{GROUP}:{PORT + 1}%eth0")
    assert done.returncode == 1, done.stderr
    found, summary = map(json.loads, done.stdout.splitlines())
    assert list(found) == ["type", "cause", "confidence", "proof", "fix", "text"]
    assert (found["type"], found["cause"], found["confidence"]) == ("finding", "wrong-port", "proven")
    assert found["proof"]["arrived_on_ports"][str(PORT)] > 0
    assert found["fix"] == f"multicast listen {HERE}"
    expected: dict[str, Any] = {
        "type": "summary",
        "endpoint": f"{GROUP}:{PORT + 1}%eth0",
        "interface": "eth0",
        "causes": ["wrong-port"],
        "received": 0,
        "packets_visible": True,
    }
    assert summary == expected


def test_doctor_exit_code_is_0_if_datagrams_arrive(net: Lab) -> None:
    with feed(net.far, GROUP, PORT):
        done = doctor(net, GROUP, "-p", str(PORT), "-i", "eth0")
    assert done.returncode == 0
    assert done.stdout.startswith("ok\tproven\t")
    assert done.stderr == f"listening to {HERE} for 0.4 s\n"


def test_doctor_quiet_prints_the_causes_alone(net: Lab) -> None:
    done = doctor(net, "--quiet", HERE)
    assert (done.returncode, done.stdout, done.stderr) == (1, "no-sender\n", "")


@pytest.mark.parametrize(
    ("interface", "fix"),
    [
        ("127.0.0.1", f"run this on this machine: multicast send {GROUP}:{PORT}%lo test"),
        ("eth0", f"run this on the sending host: multicast send {GROUP}:{PORT} test"),
    ],
)
def test_doctor_no_sender_fix_sends_where_the_endpoint_listens(net: Lab, interface: str, fix: str) -> None:
    done = doctor(net, f"{GROUP}:{PORT}", "-i", interface)
    cause, _, _, shown = done.stdout.rstrip("\n").split("\t")
    assert (cause, shown) == ("no-sender", fix)


def doctor_at_terminal(net: Lab, *words: str) -> "subprocess.CompletedProcess[str]":
    command = " ".join([*MULTICAST, "doctor", "-d", "0.4", *words, HERE])
    return subprocess.run(
        net.near.command("script", "-qec", command, "/dev/null"),
        env=environment(TERM="xterm"),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_doctor_terminal_gets_the_fix_on_a_line_of_its_own(net: Lab) -> None:
    net.sh("ip -n $near link set eth0 down")
    done = doctor_at_terminal(net, "-v", "--color", "never")
    assert done.returncode == 1, done
    assert done.stdout.splitlines() == [
        "interface-down (proven): the interface eth0 is switched off",
        "  fix: ip link set eth0 up",
        "  interface: eth0",
        "  up: no",
        "  carrier: no",
    ]
    assert doctor_at_terminal(net).stdout.startswith("\x1b[1;31minterface-down\x1b[0m (proven): ")


def test_doctor_terminal_shows_in_green_that_all_is_well(net: Lab) -> None:
    with feed(net.far, GROUP, PORT):
        done = doctor_at_terminal(net)
    assert "\x1b[32mok\x1b[0m (proven): " in done.stdout


@pytest.mark.parametrize("make", ["", "sends"], ids=["silence", "traffic"])
def test_doctor_without_rights_says_what_it_cannot_see(net: Lab, make: str) -> None:
    # As root, which may read the interpreter wherever it is installed, but without any capability.
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    words = [*drop, *MULTICAST, "doctor", "-d", "0.4", HERE if not make else f"{GROUP}:{PORT + 1}%eth0"]
    with feed(net.far, GROUP, PORT if make else PORT + 7, interface="eth0" if make else "eth1"):
        done = net.near.run(*words, env=environment())
    cause, confidence, *_ = done.stdout.split("\t")
    assert (cause, confidence) == (("wrong-port", "possible") if make else ("no-sender", "likely")), done
    assert "CAP_NET_RAW" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("sends", "cause"),
    [(False, ("no-sender", "likely")), (True, ("firewall-input", "possible"))],
    ids=["silence", "other-group"],
)
def test_doctor_without_rights_does_not_take_what_loopback_returns_for_a_blocked_feed(
    sends: bool, cause: tuple[str, str]
) -> None:
    """The interface ``lo`` returns the kernel's IGMP reports, and datagrams for groups that nobody has joined."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    words = [*drop, *MULTICAST, "doctor", "--json", "-d", "0.5", f"{GROUP}:{PORT}%lo"]
    with contextlib.ExitStack() as stack:
        if sends:
            stack.enter_context(traffic(None, OTHER, PORT, "lo"))
        done = subprocess.run(words, env=environment(), capture_output=True, check=False, timeout=30)
    found = json.loads(done.stdout.splitlines()[0])
    assert (found["cause"], found["confidence"]) == cause


def test_doctor_ends_by_ctrl_c_with_its_findings(net: Lab) -> None:
    with Program(net.near.command(*MULTICAST, "doctor", "-d", "60", "--json", HERE)) as program:
        program.until_joined(GROUP)
        program.interrupt(signal.SIGINT)
        assert program.finish() == 130
        assert '"type":"summary"' in program.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["239.1.2.3.4:5000"], 2, "argument ENDPOINT: "),
        ([f"{HERE}9"], 65, "interface must be one of "),
        ([f"239.1.2.0/24:{PORT}"], 65, "group must be one multicast address, got '239.1.2.0/24'"),
        (["--reverse", HERE], 2, "argument --reverse: needs --peer"),
        (["--serve", HERE], 2, "argument ENDPOINT: not allowed with --serve"),
        (["-d", "0", HERE], 65, "duration must be above 0, got 0"),
    ],
    ids=["no-group", "no-interface", "several-groups", "no-peer", "serve", "no-time"],
)
def test_doctor_wrong_argument_is_reported(words: list[str], code: int, message: str) -> None:
    done = run("doctor", *words)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()


def test_doctor_of_a_default_endpoint_listens_to_the_default_group() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "multicast", "doctor", "--json", "-d", "0.1", "-i", "veth0"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout.splitlines()[-1])["endpoint"] == "224.0.0.1:59595%veth0"


def test_doctor_with_a_peer_compares_both_ends(net: Lab) -> None:
    with Program(net.far.command(*MULTICAST, "doctor", "--serve")) as server:
        waiting.until(lambda: server.err, "the server to be ready")
        assert server.err == "serving on TCP port 59596\n"
        done = doctor(net, "--json", "--peer", "10.78.0.2", HERE)
        found, _ = map(json.loads, done.stdout.splitlines())
        assert (done.returncode, found["cause"]) == (0, "ok"), done
        assert (found["proof"]["left_peer_by"], found["proof"]["joined_on"]) == ("eth0", "eth0")
        assert server.line() == f"10.78.0.1: {GROUP}:{PORT}\n"
        server.interrupt(signal.SIGTERM)
        assert server.finish() == 143


def test_doctor_peer_is_asked_by_ipv6_and_counts_requests(net: Lab) -> None:
    with Program(net.far.command(*MULTICAST, "doctor", "--serve", "--json")) as server:
        waiting.until(lambda: server.err, "the server to be ready")
        done = doctor(net, "--json", "--peer", "fd78::2", f"[ff15::7:8:9%eth0]:{PORT}")
        found, _ = map(json.loads, done.stdout.splitlines())
        assert (done.returncode, found["cause"]) == (0, "ok"), done
        assert json.loads(server.line())["client"] == "fd78::1"
        server.interrupt(signal.SIGUSR1)
        assert json.loads(server.line()) == {"type": "interim", "served": 1}
        server.interrupt()
        assert server.finish() == 130
    assert json.loads(server.out.splitlines()[-1]) == {"type": "summary", "served": 1}


def test_doctor_reverse_lets_the_peer_listen(net: Lab) -> None:
    with Program(net.far.command(*MULTICAST, "doctor", "--serve")) as server:
        waiting.until(lambda: server.err, "the server to be ready")
        done = doctor(net, "--peer", "10.78.0.2", "--reverse", HERE)
        assert done.returncode == 0, done
        assert done.stdout.startswith(
            "ok\tproven\tseen from 10.78.0.2: what 10.78.0.1 sends from eth0 arrives"
        )
        assert done.stderr == f"10.78.0.2 listens to {HERE} for 0.4 s\n"
        assert server.line() == f"10.78.0.1: {GROUP}:{PORT}\n"


def test_doctor_server_ends_after_the_duration(net: Lab) -> None:
    done = net.far.run(*MULTICAST, "doctor", "--serve", "-d", "0.2", env=environment())
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "serving on TCP port 59596\n0 requests served\n"


def test_doctor_server_refuses_what_is_no_request(net: Lab) -> None:
    talk = 'exec 3<>/dev/tcp/10.78.0.2/59596; echo \'{"group": "10.0.0.1", "port": 1}\' >&3; cat <&3'
    with Program(net.far.command(*MULTICAST, "doctor", "--serve")) as server:
        waiting.until(lambda: server.err, "the server to be ready")
        assert net.near.run("bash", "-c", talk).stdout == ""
        assert server.line().startswith("10.78.0.1: request refused: ")
        assert server.running


def test_doctor_peer_that_does_not_serve_is_reported(net: Lab) -> None:
    done = doctor(net, "--peer", "10.78.0.2", HERE)
    assert done.returncode == 69
    reason = "Connection refused (run 'multicast doctor --serve' there)"
    assert done.stderr.endswith(f"multicast doctor: cannot ask the peer 10.78.0.2: {reason}\n")


# It stands for a name server that does not answer: no signal interrupts the system's lookup.
SLOW_LOOKUP = """
import runpy, signal, socket, sys

def look_up(*_):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGALRM, signal.SIGTERM})
    print("looking up", file=sys.stderr, flush=True)
    signal.sigtimedwait({signal.SIGUSR2}, 20)

socket.getaddrinfo = look_up
sys.argv[0] = "multicast"
runpy.run_module("multicast", run_name="__main__")
"""


@pytest.mark.parametrize("way", [[], ["--reverse"]], ids=["peer", "reverse"])
def test_doctor_ctrl_c_ends_it_while_the_name_of_the_peer_is_looked_up(way: list[str]) -> None:
    words = ["doctor", "-d", "0.2", f"{GROUP}:{PORT}%lo", "--peer", "far.example", *way]
    with Program([sys.executable, "-c", SLOW_LOOKUP, *words]) as program:
        waiting.until(lambda: "looking up" in program.err, "the lookup")
        program.interrupt(signal.SIGINT)
        assert program.finish(timeout=5) == 130
    assert "Traceback" not in program.err
