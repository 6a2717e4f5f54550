"""Test the command line on machines whose network is that of ordinary users: a stock ``lo``, few routes or none."""

from collections.abc import Iterator

import pytest

from tests.cli.running import GROUP, MULTICAST
from tests.support import machines, waiting
from tests.support.hosts import Machine
from tests.support.programs import Program

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

LOOPBACK = ["--iface", "127.0.0.1"]


@pytest.fixture(scope="module", params=[machines.ORDINARY, machines.DEFAULT_ROUTE])
def connected(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Return each kind of machine that has a route."""
    with machines.running(request.param) as found:
        yield found


def listen(machine: Machine, *words: str) -> Program:
    return Program(machine.command(*MULTICAST, "HEAR", "--daemon", "--use-std", *words))


def say_until_printed(machine: Machine, listener: Program, *words: str) -> None:
    """Send until the listener, which takes a moment to join, prints the message."""

    def printed() -> bool:
        done = machine.run(*MULTICAST, "SAY", *words, "-m", "hello")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return "hello\n" in listener.out

    waiting.until(printed, f"a message; it printed {listener.err}", timeout=30)


def test_say_and_hear_on_loopback_address_work_without_any_route(machine: Machine, free_port: int) -> None:
    at = ["--port", str(free_port), "--group", GROUP, *LOOPBACK]
    with listen(machine, *at) as listener:
        say_until_printed(machine, listener, *at)
        assert machine.run(*MULTICAST, "SAY", *at, "-m", "STOP").returncode == 0
        assert listener.finish() == 0, listener.err


def test_say_and_hear_without_options_follow_the_default_route(connected: Machine) -> None:
    with listen(connected) as listener:
        say_until_printed(connected, listener)


@pytest.mark.parametrize("group", ["ff02::4:6:1%eth0", "ff15::4:6:1%eth0", "239.4.6.1%eth0"])
def test_say_and_hear_with_zone_use_that_interface(connected: Machine, group: str, free_port: int) -> None:
    at = ["--port", str(free_port), "--group", group]
    with listen(connected, *at) as listener:
        say_until_printed(connected, listener, *at)


@pytest.mark.parametrize("group", ["239.4.6.1", "ff15::4:6:1"])
def test_hear_on_all_interfaces_receives_by_eth0(connected: Machine, group: str, free_port: int) -> None:
    at = ["--port", str(free_port), "--group", group]
    with listen(connected, *at, "--iface", "all") as listener:
        say_until_printed(connected, listener, *at, "--iface", "eth0")


def test_listen_on_loopback_address_works_without_any_route(machine: Machine, free_port: int) -> None:
    at = ["--port", str(free_port), "--group", GROUP, *LOOPBACK]
    words = ["listen", f"{GROUP}:{free_port}", "-i", "127.0.0.1"]
    with Program(machine.command(*MULTICAST, *words)) as listener:
        say_until_printed(machine, listener, *at)
        listener.interrupt()
        assert listener.finish() == 130, listener.err


@pytest.mark.parametrize(
    ("group", "words"),
    [(GROUP, []), ("ff02::4:6:1%eth0", []), ("ff15::4:6:1", ["-i", "eth0"]), (GROUP, ["-i", "all"])],
)
def test_listen_receives_by_eth0(connected: Machine, group: str, words: list[str], free_port: int) -> None:
    endpoint = f"[{group}]:{free_port}" if ":" in group else f"{group}:{free_port}"
    at = ["--port", str(free_port), "--group", group, *(["--iface", "eth0"] if words else [])]
    with Program(connected.command(*MULTICAST, "listen", endpoint, *words)) as listener:
        say_until_printed(connected, listener, *at)


def test_interfaces_reports_the_loopback_interface_as_usable(machine: Machine) -> None:
    done = machine.run(*MULTICAST, "interfaces", "-q", "lo")
    assert (done.returncode, done.stdout, done.stderr) == (0, "lo\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["SAY", "-m", "hello"],
        ["RECV", "--timeout", "5"],
        ["HEAR", "--daemon"],
        ["listen", f"{GROUP}:5000"],
        ["listen", "[ff15::4:6:1]:5000"],
        ["SAY", "--group", "ff15::4:6:1", "-m", "hello"],
    ],
)
def test_command_without_any_route_exits_2_with_one_line(words: list[str]) -> None:
    with machines.running(machines.NO_ROUTE) as machine:
        done = machine.run(*MULTICAST, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(")\n"), "the hint is in brackets at the end"
