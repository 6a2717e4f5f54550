"""``multicast doctor``: the findings as text, as lines and as JSON, its exit codes and its end by a signal."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.running import MULTICAST, run
from tests.support.programs import Program, environment
from tests.wire.lab import Lab, feed, lab

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP, PORT = "239.7.8.9", 50_791
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


def test_doctor_terminal_gets_the_fix_on_a_line_of_its_own(net: Lab) -> None:
    net.sh("ip -n $near link set eth0 down")
    done = subprocess.run(
        net.near.command("script", "-qec", " ".join([*MULTICAST, "doctor", "-v", HERE]), "/dev/null"),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1, done
    assert done.stdout.splitlines() == [
        "interface-down (proven): the interface eth0 is switched off",
        "  fix: ip link set eth0 up",
        "  interface: eth0",
        "  up: False",
        "  carrier: False",
    ]


@pytest.mark.parametrize("make", ["", "sends"], ids=["silence", "traffic"])
def test_doctor_without_rights_says_what_it_cannot_see(net: Lab, make: str) -> None:
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"]
    words = [*drop, *MULTICAST, "doctor", "-d", "0.4", HERE if not make else f"{GROUP}:{PORT + 1}%eth0"]
    with feed(net.far, GROUP, PORT if make else PORT + 7, interface="eth0" if make else "eth1"):
        done = net.near.run(*words, env=environment())
    cause, confidence, *_ = done.stdout.split("\t")
    assert (cause, confidence) == (("wrong-port", "possible") if make else ("no-sender", "likely")), done
    assert "CAP_NET_RAW" in done.stderr
    assert done.returncode == 1


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
        (["-d", "0", HERE], 65, "duration must be above 0, got 0"),
    ],
    ids=["no-group", "no-interface", "several-groups", "no-time"],
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
