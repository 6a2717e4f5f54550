"""``multicast top --all``: every group on an interface, joined or not."""

import json
import subprocess
import sys
from typing import Any

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST, run, start
from tests.support.hosts import Host
from tests.support.programs import environment
from tests.support.waiting import until

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

SEND = """
import sys, multicast
from multicast.apps.numbered import numbered
for group, interface in (("239.77.1.1", "eth0"), ("ff15::7:1", "eth0")):
    with multicast.Sender(group, 7001, interface=interface, dscp=46, ttl=6) as tx:
        tx.send_many([numbered(1, number, 0, 3000) for number in (0, 1, 3)])
with multicast.Sender("239.77.1.1", 7002, interface="eth0", ttl=5) as tx:
    tx.send_many([b"x" * 100] * 40)
with multicast.Sender(sys.argv[1], 7003, interface="eth0") as tx:
    tx.send(b"last")
"""


def streams_until(program: "subprocess.Popen[str]", last: str) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the last record of each stream, once there is one of the group ``last``."""
    assert program.stdout is not None
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for line in program.stdout:
        record = json.loads(line)
        if record["type"] == "stream":
            found[record["group"], record["port"]] = record
        if any(group == last for group, _ in found):
            return found
    raise AssertionError(f"no stream to {last}: {found}")


def test_groups_that_nobody_joined_are_seen_with_their_class_and_hops(hosts: list[Host]) -> None:
    watcher, sender = hosts[:2]
    command = [*MULTICAST, "top", "--all", "-i", "eth0", "--json", "-n", "0.2"]
    with watcher.popen(*command, env=environment()) as program:
        try:
            assert program.stderr is not None
            assert program.stderr.readline() == "watching every group on eth0\n"
            sent = sender.run(sys.executable, "-c", SEND, "239.77.9.9", env=environment())
            assert sent.returncode == 0, sent.stderr
            found = streams_until(program, "239.77.9.9")
        finally:
            program.kill()
    for group in ("239.77.1.1", "ff15::7:1"):
        stream = found[group, 7001]
        assert (stream["dscp"], stream["ttl"], stream["kind"]) == (46, 6, "numbered")
        assert (stream["received"], stream["lost"], stream["lost_here"]) == (3, 1, 0)
        assert (stream["interface"], stream["state"]) == ("eth0", "RECEIVING")
    plain = found["239.77.1.1", 7002]
    assert (plain["dscp"], plain["ttl"], plain["kind"]) == (0, 5, "unknown")
    assert plain["received"] == 40


@pytest.mark.parametrize("limit", [["--count", "5"], ["--timeout", "1"]], ids=["count", "timeout"])
def test_all_ends_at_a_limit_with_a_table(limit: list[str], free_port: int) -> None:
    with start("top", "--all", "-i", "lo", *limit, "-n", "60", "--json") as program:
        until(lambda: "watching every group on lo" in program.err, "an open packet socket")
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"x"] * 5)
        assert program.finish() == 0
    stream, summary = map(json.loads, program.out.splitlines())
    assert (stream["group"], stream["received"], summary["type"]) == (GROUP, 5, "summary")


def test_all_counts_what_arrives_on_the_loopback_interface(free_port: int) -> None:
    with start("top", "--all", "-i", "lo", "--json", "-n", "0.2") as program:
        until(lambda: "watching every group on lo" in program.err, "an open packet socket")
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"x"] * 10)
        # The report before it may have a part of them.
        stream = json.loads(program.line_with(f'"port":{free_port},'))
        while stream["received"] < 10:
            stream = json.loads(program.line_with(f'"port":{free_port},'))
        program.interrupt()
        assert program.finish() == 130
    summary = json.loads(program.out.splitlines()[-1])
    assert (stream["group"], stream["received"], stream["lost_here"]) == (GROUP, 10, 0)
    assert (summary["type"], summary["received"], summary["kernel_drops"]) == ("summary", 10, 0)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--all"], 2, "argument --all: needs one interface, such as -i eth0"),
        (["--all", "-i", "all"], 2, "argument --all: needs one interface, such as -i eth0"),
        (["--all", "-i", "lo", GROUP], 2, "argument --all: not allowed with ENDPOINT or -p/--port"),
        (["--all", "-i", "lo", "-p", "5000"], 2, "argument --all: not allowed with ENDPOINT or -p/--port"),
        (
            ["--all", "-i", "nosuch0"],
            65,
            "interface must be the name or index of one interface, got 'nosuch0'",
        ),
    ],
    ids=["no interface", "all interfaces", "endpoint", "port", "unknown interface"],
)
def test_all_with_other_words_is_an_error(words: list[str], code: int, text: str) -> None:
    done = run("top", *words)
    assert text in done.stderr.decode()
    assert done.returncode == code


def test_all_without_the_right_says_how_to_get_it() -> None:
    dropped = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", *MULTICAST]
    done = subprocess.run(
        [*dropped, "top", "--all", "-i", "lo"],
        capture_output=True,
        check=False,
        timeout=30,
        env=environment(),
    )
    assert done.returncode == 77
    assert b"cannot open a packet socket" in done.stderr
    assert b"CAP_NET_RAW" in done.stderr
