"""``multicast top``: a row for each stream and for each silent group."""

import contextlib
import json
import time
from typing import Any

import pytest

from multicast import Receiver, Sender
from multicast.apps.numbered import numbered
from multicast.apps.streams import Streams
from tests.cli.running import GROUP, OTHER, run, start

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

FIELDS = [
    "type",
    "group",
    "port",
    "sender",
    "sender_port",
    "interface",
    "state",
    "packets_per_s",
    "bits_per_s",
    "received",
    "lost",
    "lost_network",
    "lost_here",
    "lost_kernel",
    "lost_program",
    "duplicates",
    "reordered",
    "restarts",
    "jitter_us",
    "ttl",
    "dscp",
    "kind",
    "last_ns",
    "burst_packets",
    "burst_bytes",
    "burst_buffer",
]


def test_json_has_a_record_for_each_stream_and_each_silent_group(free_port: int) -> None:
    words = ["top", f"{GROUP}:{free_port}%lo", f"{OTHER}:{free_port}%lo", "--json", "-n", "0.3"]
    with start(*words) as program:
        program.until_joined(GROUP, OTHER)
        with Sender(GROUP, free_port, interface="lo", ttl=5) as tx:
            tx.send_many([numbered(1, number, time.time_ns(), 100) for number in (0, 1, 4, 3, 3)])
        found: dict[str, Any] = {}
        while OTHER not in found or found.get(GROUP, {}).get("received") != 5:
            record = json.loads(program.line())
            found[record["group"]] = record
        program.interrupt()
        assert program.finish() == 130
    stream = found[GROUP]
    assert list(stream) == FIELDS
    assert (stream["type"], stream["state"], stream["interface"]) == ("stream", "RECEIVING", "lo")
    assert (stream["lost"], stream["lost_here"], stream["duplicates"], stream["reordered"]) == (1, 0, 1, 1)
    assert (stream["lost_network"], stream["lost_kernel"], stream["lost_program"], stream["restarts"]) == (
        1,
        0,
        0,
        0,
    )
    assert (stream["ttl"], stream["dscp"], stream["kind"]) == (5, None, "numbered")
    assert (stream["burst_packets"], stream["burst_bytes"], stream["burst_buffer"]) == (5, 500, 5 * 768 // 2)
    assert 0 <= time.time_ns() - stream["last_ns"] < 60e9
    assert stream["bits_per_s"] == pytest.approx(stream["packets_per_s"] * 800, rel=0.01)
    silent = found[OTHER]
    assert silent["last_ns"] is None
    assert (silent["state"], silent["sender"], silent["received"], silent["lost"]) == (
        "WAITING",
        None,
        0,
        None,
    )
    assert json.loads(program.out.splitlines()[-1])["type"] == "summary"


def test_stream_that_falls_silent_is_stalled(free_port: int) -> None:
    with start("top", f"{GROUP}:{free_port}%lo", "--json", "-n", "0.3") as program:
        program.until_joined(GROUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"once")
        assert '"kind":"unknown"' in program.line_with('"state":"RECEIVING"')
        assert json.loads(program.line_with('"state":"STALLED"'))["packets_per_s"] == 0


def test_once_prints_one_table_and_ends(free_port: int) -> None:
    done = run("top", f"{GROUP}:{free_port}%lo", "--once", "-n", "0.2")
    assert done.returncode == 70
    assert done.stdout.decode().split("\t")[:3] == [f"{GROUP}:{free_port}", "-", "WAITING"]
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("limit", [["--count", "5"], ["--timeout", "1"]], ids=["count", "timeout"])
def test_limit_within_the_first_interval_ends_it_with_a_table(limit: list[str], free_port: int) -> None:
    with start("top", f"{GROUP}:{free_port}%lo", *limit, "-n", "60", "--json") as program:
        program.until_joined(GROUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"x"] * 5)
        assert program.finish() == 0
    stream, summary = map(json.loads, program.out.splitlines())
    assert (stream["group"], stream["received"], summary["type"]) == (GROUP, 5, "summary")


@pytest.mark.parametrize(("order", "first"), [("group", GROUP), ("rate", OTHER)])
def test_rows_are_sorted_as_chosen(order: str, first: str, free_port: int) -> None:
    words = [f"{GROUP}:{free_port}%lo", f"{OTHER}:{free_port}%lo", "--once", "-n", "2", "--sort", order, "-q"]
    with start("top", *words) as program:
        program.until_joined(GROUP, OTHER)
        with Sender(OTHER, free_port, interface="lo") as tx:
            tx.send_many([b"x"] * 10)
        assert program.finish() == 0
    assert program.out.startswith(f"{first}:{free_port}\t")


def test_streams_of_many_ports_do_not_seem_to_stall() -> None:
    ports = range(7100, 7180)
    words = ["top", *(f"{GROUP}:{port}%lo" for port in ports), "--json", "-n", "0.5", "-d", "6"]
    with contextlib.ExitStack() as opened, start(*words) as program:
        program.until_joined(GROUP)
        senders = [opened.enter_context(Sender(GROUP, port, interface="lo", rate=5000)) for port in ports]
        while program.running:
            for tx in senders:
                tx.send(b"x")
        assert program.finish() == 0
    states = {json.loads(line)["state"] for line in program.out.splitlines() if '"stream"' in line}
    # If each port took 50 ms to gather datagrams, there would be 4 seconds between two batches of one.
    assert "RECEIVING" in states
    assert "STALLED" not in states


def test_statistics_of_a_datagram_cost_less_than_a_microsecond(free_port: int) -> None:
    groups = [f"239.4.7.{number}" for number in range(1, 101)]
    endpoints = [f"{group}:{free_port}%lo" for group in groups]
    with Receiver(endpoints, recv_buffer=8 << 20, gro=False) as rx, contextlib.ExitStack() as opened:
        senders = [opened.enter_context(Sender(group, free_port, interface="lo")) for group in groups]
        for number in range(20):
            for tx in senders:
                tx.send(numbered(1, number, time.time_ns(), 100))
        batch = rx.recv_batch(2000, timeout=5, linger=1.0)
    assert len(batch) == 2000
    spent: list[float] = []
    streams = Streams()
    for _ in range(20):
        streams = Streams()
        before = time.thread_time()
        streams.add(batch, free_port, 0)
        spent.append(time.thread_time() - before)
    assert [stream.received for stream in streams.look()] == [20] * 100
    assert min(spent) / len(batch) < 1e-6
