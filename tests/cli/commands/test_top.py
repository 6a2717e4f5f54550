"""``multicast top``: a row for each stream and for each silent group."""

import json
import time
from typing import Any

import pytest

from multicast import Sender
from multicast.apps.numbered import numbered
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


@pytest.mark.parametrize(("order", "first"), [("group", GROUP), ("rate", OTHER)])
def test_rows_are_sorted_as_chosen(order: str, first: str, free_port: int) -> None:
    words = [f"{GROUP}:{free_port}%lo", f"{OTHER}:{free_port}%lo", "--once", "-n", "2", "--sort", order, "-q"]
    with start("top", *words) as program:
        program.until_joined(GROUP, OTHER)
        with Sender(OTHER, free_port, interface="lo") as tx:
            tx.send_many([b"x"] * 10)
        assert program.finish() == 0
    assert program.out.startswith(f"{first}:{free_port}\t")
