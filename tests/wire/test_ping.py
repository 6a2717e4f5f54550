"""Multicast ping, with itself and with asmping, ssmping and ssmpingd of the Debian package ssmping."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Generator, Iterator

import pytest

from multicast import Endpoint
from multicast.apps.ping import Answer, Ping, Reply, Responder
from tests.support import waiting
from tests.support.hosts import Machine
from tests.support.tools import need
from tests.wire.lab import Lab, LabHost, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP, GROUP6 = "239.2.2.2", "ff15::2:2"


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@contextlib.contextmanager
def responder(host: Machine, group: str, interface: str = "eth0") -> Generator[list[Answer], None, None]:
    """Answer requests on a host during the block; yield the list of what was answered."""
    over = threading.Event()
    is_ready = threading.Event()
    answered: list[Answer] = []

    def run() -> None:
        with on(host), Responder(Endpoint(group, interface=interface)) as one:
            is_ready.set()
            answered.extend(one.answers(over.is_set))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert is_ready.wait(10)
        yield answered
    finally:
        over.set()
        thread.join()


def ping(net: Lab, endpoint: Endpoint, count: int = 3) -> tuple[Ping, list[Reply]]:
    with on(net.near), Ping(endpoint) as one:
        return one, list(one.replies(count, interval=0.05, wait=0.3))


@pytest.mark.parametrize("group", [GROUP, GROUP6, "ff02::2:2"])
def test_ping_of_a_group_gets_both_replies_of_each_request(net: Lab, group: str) -> None:
    with responder(net.far, group) as answered:
        one, replies = ping(net, Endpoint(group, interface="eth0"))
    assert [(reply.sequence, reply.kind) for reply in replies] == [
        (number, kind) for number in (1, 2, 3) for kind in ("unicast", "multicast")
    ]
    (host,) = one.hosts.values()
    for result in (host.unicast, host.multicast):
        assert (result.sent, result.received, result.duplicates, result.hops) == (3, 3, 0, 0)
        assert result.loss_percent == result.late_loss_percent == 0
        assert result.min_ms is not None
        assert 0 < result.min_ms <= (result.avg_ms or 0) <= (result.max_ms or 0) < 1000
    assert [answer.group for answer in answered] == [group] * 3


def test_ping_of_a_source_gets_both_replies(net: Lab) -> None:
    with responder(net.far, GROUP) as answered:
        one, replies = ping(net, Endpoint("232.43.211.234", interface="eth0", sources=("10.78.0.2",)))
    assert len(replies) == 6
    assert one.hosts["10.78.0.2"].multicast.received == 3
    assert {answer.group for answer in answered} == {"232.43.211.234"}


def test_ping_of_a_group_that_the_responder_does_not_serve_gets_unicast_replies_alone(net: Lab) -> None:
    with responder(net.far, GROUP) as answered:
        one, _ = ping(net, Endpoint("239.2.2.9", interface="eth0", sources=("10.78.0.2",)))
    host = one.hosts["10.78.0.2"]
    assert (host.unicast.received, host.multicast.received, host.multicast.loss_percent) == (3, 0, 100)
    assert [answer.group for answer in answered] == [None] * 3


def test_ping_without_responder_gets_nothing(net: Lab) -> None:
    one, replies = ping(net, Endpoint(GROUP, interface="eth0"), 2)
    assert (one.sent, replies, one.hosts) == (2, [], {})


def test_ping_loss_of_the_first_request_is_kept_apart(net: Lab) -> None:
    with responder(net.far, GROUP), on(net.near), Ping(Endpoint(GROUP, interface="eth0")) as one:
        net.sh(
            "on $far nft add table ip guard; on $far nft add chain ip guard in '{ type filter hook input priority 0; }'"
        )
        net.sh("on $far nft add rule ip guard in udp dport 4321 drop")
        replies = one.replies(4, interval=0.3, wait=0.3, is_over=lambda: _opened(net, one))
        assert len(list(replies)) == 6
    host = one.hosts["10.78.0.2"]
    assert (host.multicast.loss_percent, host.multicast.late_loss_percent) == (25, 0)


def _opened(net: Lab, one: Ping) -> bool:
    """Let requests pass after the first. The ping is never over early."""
    if one.sent == 1:
        net.sh("on $far nft flush ruleset")
    return False


def test_responder_that_cannot_answer_one_client_answers_the_next(net: Lab) -> None:
    with responder(net.far, GROUP) as answered:
        net.sh("ip -n $far route add unreachable 10.78.0.1/32")
        assert ping(net, Endpoint(GROUP, interface="eth0"), 1)[1] == []
        net.sh("ip -n $far route del unreachable 10.78.0.1/32")
        assert len(ping(net, Endpoint(GROUP, interface="eth0"), 1)[1]) == 2
    assert [one.error for one in answered] == ["cannot send to 10.78.0.1: No route to host", None]


def test_ping_roll_call_of_fifty_hosts_reaches_all(net: Lab) -> None:
    names = [f"{net.switch.name}-{number}" for number in range(1, 51)]
    try:
        net.sh(
            "\n".join(
                f"ip netns add {name}; ip -n $switch link add r{number} type veth peer name eth0 netns {name}; "
                f"ip -n $switch link set r{number} master br0 up; ip -n {name} link set eth0 up; "
                f"ip -n {name} addr add 10.78.0.{100 + number}/24 dev eth0"
                for number, name in enumerate(names)
            )
        )
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(responder(LabHost(name), GROUP))
            one, _ = ping(net, Endpoint(GROUP, interface="eth0"), 2)
        assert sorted(one.hosts) == sorted(f"10.78.0.{100 + number}" for number in range(50))
        for host in one.hosts.values():
            assert (host.unicast.received, host.multicast.received) == (2, 2)
    finally:
        net.sh("\n".join(f"ip netns del {name}" for name in names))


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["asmping", "239.2.2.234", "10.78.0.2"], r"\(\*,239\.2\.2\.234\)"),
        (["ssmping", "10.78.0.2"], r"\(10\.78\.0\.2,232\.43\.211\.234\)"),
        (["ssmping", "-6", "fd78::2"], r"\(fd78::2,ff3e::4321:1234\)"),
    ],
    ids=["asmping", "ssmping", "ssmping-v6"],
)
def test_responder_is_understood_by_the_programs_of_ssmping(net: Lab, words: list[str], joined: str) -> None:
    program = need(words[0])
    with responder(net.far, GROUP6 if "-6" in words else GROUP):
        done = net.near.run(program, "-c", "2", *words[1:])
    assert re.search(joined, done.stdout), done
    assert re.search(r"unicast from \S+, seq=2 dist=0 time=", done.stdout), done.stdout
    assert re.search(r"multicast from \S+, seq=2 dist=0 time=", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("group", "source"), [("232.43.211.234", "10.78.0.2"), ("ff3e::4321:1234", "fd78::2")], ids=["v4", "v6"]
)
def test_ping_is_understood_by_ssmpingd(net: Lab, group: str, source: str) -> None:
    with net.far.popen(need("ssmpingd"), stdout=subprocess.DEVNULL) as daemon:
        try:
            waiting.until_bound(daemon.pid, 4321)
            one, _ = ping(net, Endpoint(group, interface="eth0", sources=(source,)))
        finally:
            daemon.kill()
    host = one.hosts[source]
    assert (host.unicast.received, host.multicast.received, host.multicast.hops) == (3, 3, 0)
