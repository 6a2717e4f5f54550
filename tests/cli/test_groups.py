"""Test every kind of group between hosts: IPv6, source-specific, ranges, zones, all interfaces."""

import subprocess
from dataclasses import dataclass

import pytest

from multicast import Receiver
from tests.cli.running import MULTICAST, run
from tests.support import waiting
from tests.support.hosts import Host, available
from tests.support.programs import Program, environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@dataclass(frozen=True)
class Family:
    """An IP version, with an any-source group and a source-specific one."""

    version: int
    any_source: str
    source_specific: str

    def of(self, host: Host) -> str:
        return host.ipv4 if self.version == 4 else host.ipv6


FAMILIES = [Family(4, "239.4.6.3", "232.4.6.3"), Family(6, "ff15::4:6:3", "ff35::4:6:3")]


@pytest.fixture
def three() -> tuple[Host, Host, Host]:
    one, other, third, *_ = available()
    return one, other, third


@pytest.fixture(params=FAMILIES, ids=["v4", "v6"])
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


def say(host: Host, group: str, port: int, text: str, *more: str) -> None:
    done = host.run(
        *MULTICAST, "SAY", "--group", group, "--port", str(port), "--iface", "eth0", *more, "-m", text
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def hears_only(listener: Program, wanted: Host, unwanted: Host, group: str, port: int) -> None:
    """Let both hosts send, the unwanted one first, until the listener has joined and received a message."""

    def heard() -> bool:
        say(unwanted, group, port, "unwanted")
        say(wanted, group, port, "wanted")
        return bool(listener.out)

    waiting.until(heard, f"a word; it printed {listener.err}", timeout=30)


COMMANDS = [["RECV", "--timeout", "20"], ["HEAR", "--timeout", "20"], ["HEAR", "--daemon", "--no-reply"]]


@pytest.mark.parametrize("how", ["--source", "before the group", "--exclude"])
@pytest.mark.parametrize("command", COMMANDS, ids=["RECV", "HEAR", "daemon"])
def test_listener_receives_only_the_wanted_sender(
    command: list[str], how: str, family: Family, three: tuple[Host, Host, Host], free_port: int
) -> None:
    us, wanted, unwanted = three
    group = family.any_source if how == "--exclude" else family.source_specific
    where = {
        "--source": ["--group", group, "--source", family.of(us), family.of(wanted)],
        "before the group": ["--group", f"{family.of(wanted)}@{group}"],
        "--exclude": ["--group", group, "--exclude", family.of(us), "--exclude", family.of(unwanted)],
    }[how]
    at = [*where, "--port", str(free_port), "--iface", "eth0"]
    with Program(us.command(*MULTICAST, "--use-std", *command, *at)) as listener:
        hears_only(listener, wanted, unwanted, group, free_port)
        if "--daemon" in command:
            say(unwanted, group, free_port, "STOP")
            say(wanted, group, free_port, "STOP")
        assert listener.finish() == 0, listener.err
    assert set(listener.out.splitlines()) <= {"wanted", "STOP"}
    assert listener.err == ""


@pytest.mark.parametrize("group", ["ff02::4:6:3", "ff05::4:6:3", "ff1e::4:6:3"])
@pytest.mark.parametrize("where", ["zone", "option"])
def test_hear_ipv6_group_of_any_scope_is_received(
    group: str, where: str, three: tuple[Host, Host, Host], free_port: int
) -> None:
    us, them, _ = three
    at = ["--group", f"{group}%eth0"] if where == "zone" else ["--group", group, "--iface", "eth0"]
    at += ["--port", str(free_port)]
    with Program(us.command(*MULTICAST, "--daemon", "--use-std", "HEAR", *at)) as listener:

        def heard() -> bool:
            done = them.run(*MULTICAST, "SAY", *at, "--ttl", "3", "-m", "over IPv6")
            assert done.returncode == 0, done.stderr
            return "over IPv6\n" in listener.out

        waiting.until(heard, f"a word; it printed {listener.err}", timeout=30)


@pytest.mark.parametrize("group", ["239.4.6.4", "ff15::4:6:4"])
def test_recv_interface_all_receives_from_any_interface(
    group: str, three: tuple[Host, Host, Host], free_port: int
) -> None:
    us, them, _ = three
    at = ["--group", group, "--port", str(free_port), "--iface", "all"]
    with Program(us.command(*MULTICAST, "--use-std", "RECV", *at, "--timeout", "20")) as listener:

        def heard() -> bool:
            say(them, group, free_port, "by an interface")
            return bool(listener.out)

        waiting.until(heard, f"a word; it printed {listener.err}", timeout=30)
        assert listener.finish() == 0, listener.err
    assert (listener.out, listener.err) == ("by an interface\n", "")


@pytest.mark.parametrize("range_", ["239.4.6.8/30", "239.4.6.8+4", "ff15::4:8/126", "ff15::4:8+4"])
def test_say_range_sends_to_every_group(range_: str, free_port: int) -> None:
    with Receiver(range_, free_port, interface="lo") as ear:
        done = run("SAY", "--group", range_, "--port", str(free_port), "--iface", "lo", "-m", "to all")
        assert (done.returncode, done.stderr) == (0, b"")
        assert [ear.recv(timeout=10).group for _ in range(4)] == [one.group for one in ear.groups]


@pytest.mark.parametrize("how", ["message", "pipe"])
def test_say_to_512_groups_needs_few_descriptors(how: str, free_port: int) -> None:
    ranges = ["239.4.128.0/24", "ff15::4:6:0/120"]
    say = ["SAY", "--groups", *ranges, "--port", str(free_port), "--iface", "lo"]
    say += ["--pipe"] if how == "pipe" else ["-m", "to all"]
    with Receiver(ranges, free_port, interface="lo") as ear:
        done = subprocess.run(
            ["bash", "-c", 'ulimit -n 32; exec "$@"', "bash", *MULTICAST, *say],
            input=b"to all",
            env=environment(),
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        received = [ear.recv(timeout=10) for _ in range(512)]
    assert {msg.data for msg in received} == {b"to all"}
    groups = {msg.group for msg in received}
    assert {f"239.4.128.{number}" for number in range(256)} <= groups
    assert len(groups) == 512


@pytest.mark.parametrize("group", ["239.4.6.12/31", "ff15::4:c+2"])
def test_hear_range_receives_every_group(group: str, free_port: int) -> None:
    at = ["--port", str(free_port), "--iface", "lo"]
    with Program([*MULTICAST, "--daemon", "--use-std", "HEAR", "--group", group, *at]) as listener:

        def heard() -> bool:
            assert run("SAY", "--group", group, *at, "-m", "{group}", "to", "each").returncode == 0
            return listener.out.count("to each\n") >= 2

        waiting.until(heard, f"a word to each; it printed {listener.err}", timeout=30)


@pytest.mark.parametrize("group", ["239.4.6.14", "ff15::4:e"])
def test_say_no_loopback_is_not_received_on_this_machine(group: str, free_port: int) -> None:
    # A datagram sent on the loopback interface would arrive there in any case, so this uses veth0.
    at = ["--group", group, "--port", str(free_port), "--iface", "veth0"]
    with Receiver(group, free_port, interface="veth0") as ear:
        assert run("SAY", *at, "--no-loopback", "-m", "not here").returncode == 0
        assert run("SAY", *at, "-m", "here").returncode == 0
        assert ear.recv(timeout=10).data == b"here"


@pytest.mark.parametrize("hops", ["0", "9"])
def test_say_ttl_is_sent_as_ipv6_hop_limit(hops: str, free_port: int) -> None:
    with Receiver("ff15::4:f", free_port, interface="lo") as ear:
        at = ["--group", "ff15::4:f", "--port", str(free_port), "--iface", "lo"]
        assert run("SAY", *at, "--ttl", hops, "-m", "x").returncode == 0
        assert ear.recv(timeout=10).ttl == int(hops)
