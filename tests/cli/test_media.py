"""Streams of other programs, after a relay that loses, repeats and reorders: RTP and MPEG-TS of ffmpeg.

The numbers of iperf 2 are compared with what iperf 2 itself measures.
"""

import json
import socket
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST, start
from tests.support.hosts import Host
from tests.support.programs import Program
from tests.support.tools import need

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

MUX = {
    "rtp": ["-map", "0", "-f", "rtp", "rtp://127.0.0.1:{port}?pkt_size=1200"],
    "rtp-audio": ["-map", "1", "-c:a", "pcm_mulaw", "-ar", "8000", "-f", "rtp", "rtp://127.0.0.1:{port}"],
    "rtp-mpegts": ["-f", "rtp_mpegts", "rtp://127.0.0.1:{port}"],
    "mpegts": ["-f", "mpegts", "udp://127.0.0.1:{port}?pkt_size=1316"],
}
TS_PACKET, TS_NULL = 188, 0x1FFF


@dataclass(frozen=True)
class Media:
    """Two seconds of picture and sound as ffmpeg sends them: the datagrams."""

    kind: str
    datagrams: list[bytes]


@pytest.fixture(scope="module", params=MUX)
def media(request: pytest.FixtureRequest) -> Media:
    inputs = [
        word
        for source in ("testsrc=duration=2:size=320x240:rate=25", "sine=duration=2")
        for word in ("-f", "lavfi", "-i", source)
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        relay.bind(("127.0.0.1", 0))
        output = [word.format(port=relay.getsockname()[1]) for word in MUX[request.param]]
        codecs = ["-c:v", "mpeg2video", "-c:a", "mp2"]
        words = [need("ffmpeg"), "-nostdin", "-v", "error", *inputs, *codecs, *output]
        subprocess.run(words, check=True, timeout=60)
        relay.setblocking(False)
        datagrams: list[bytes] = []
        while (datagram := _next(relay)) is not None:
            datagrams.append(datagram)
    assert len(datagrams) > 80
    return Media(request.param.partition("-")[0], datagrams)


def _next(relay: socket.socket) -> "bytes | None":
    try:
        return relay.recv(65536)
    except BlockingIOError:
        return None


def disordered(media: Media) -> tuple[list[bytes], dict[str, int]]:
    """Return the datagrams as a bad network delivers them, and what is to be found."""
    given = media.datagrams
    lost = {10, 11, 12, 40, 77}
    if media.kind == "mpegts":
        # The counters of packets have 4 bits, so a longer loss could not be counted.
        lost = {20, 60}
        packets = [given[at][n : n + TS_PACKET] for at in lost for n in range(0, len(given[at]), TS_PACKET)]
        kept = [payload for at, payload in enumerate(given) if at not in lost]
        counted = sum(bool(packet[3] & 0x10) and _pid(packet) != TS_NULL for packet in packets)
        return kept, {"received": len(kept), "lost": counted, "duplicates": 0}
    order = [*range(30), 31, 30, *range(32, 51), 50, *range(51, len(given))]
    kept = [given[at] for at in order if at not in lost]
    return kept, {"received": len(kept), "lost": len(lost), "duplicates": 1, "reordered": 1}


def _pid(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


def play(datagrams: list[bytes], port: int) -> None:
    with Sender(GROUP, port, interface="lo", rate=2000) as tx:
        tx.send_many(datagrams)


def test_media_of_ffmpeg_are_measured_exactly(media: Media, free_port: int) -> None:
    arriving, truth = disordered(media)
    with start("measure", f"{GROUP}:{free_port}%lo", "-c", str(len(arriving)), "--json") as program:
        program.until_joined(GROUP)
        play(arriving, free_port)
        assert program.finish() == 0, program.err
    (stream,) = json.loads(program.out.splitlines()[-1])["streams"]
    assert stream["kind"] == media.kind
    assert {name: stream[name] for name in truth} == truth
    assert (stream["lost_network"], stream["restarts"]) == (truth["lost"], 0)
    if media.kind == "rtp":
        assert stream["gaps"] == 3


def test_media_of_ffmpeg_are_recognized_by_top(media: Media, free_port: int) -> None:
    arriving, truth = disordered(media)
    with start("top", f"{GROUP}:{free_port}%lo", "-n", "0.2", "--json") as program:
        program.until_joined(GROUP)
        play(arriving, free_port)
        found = until_received(program, len(arriving))
        program.interrupt()
        assert program.finish() == 130, program.err
    assert found["kind"] == media.kind
    assert {name: found[name] for name in truth} == truth


def until_received(program: Program, count: int) -> dict[str, Any]:
    """Return the first record of a stream of which so many datagrams were received."""
    while True:
        record: dict[str, Any] = json.loads(program.line())
        if record["type"] == "stream" and record["received"] == count:
            return record


# Datagrams of iperf whose number ends in one of these bytes do not reach the interface. The last number is negative.
LOSSES = (7, 100, 101)
LOSSY = f"""
nft add table netdev lossy
nft add chain netdev lossy in '{{ type filter hook ingress device eth0 priority 0; }}'
nft add rule netdev lossy in udp dport 50137 @th,64,8 0 @th,88,8 '{{ {", ".join(map(str, LOSSES))} }}' drop
"""


@pytest.fixture(params=["whole", "lossy"])
def listener(request: pytest.FixtureRequest, hosts: list[Host]) -> Generator[Host, None, None]:
    if request.param == "whole":
        yield hosts[0]
        return
    assert hosts[0].run("bash", "-ec", LOSSY).stderr == ""
    yield hosts[0]
    hosts[0].run("nft", "delete", "table", "netdev", "lossy")


def test_stream_of_iperf_is_measured_as_iperf_does(
    tool: Callable[[str], str], listener: Host, hosts: list[Host], request: pytest.FixtureRequest
) -> None:
    there = hosts[1]
    size, at = 1316, f"{GROUP}%eth0"
    server = [tool("iperf"), "-s", "-u", "-B", at, "-p", "50137", "-y", "C", "-P", "1"]
    ours = [*MULTICAST, "measure", f"{GROUP}:50137%eth0", "-t", "1", "--json"]
    client = f"{tool('iperf')} -u -c {at} -p 50137 -l {size} -t 2 -b 500pps".split()
    with Program(listener.command(*server)) as theirs, Program(listener.command(*ours)) as program:
        theirs.until_bound(50137)
        for listening in (theirs, program):
            listening.until_joined(GROUP)
        there.run(*client)
        assert program.finish() == 0, program.err
        fields = theirs.line().split(",")
    (stream,) = json.loads(program.out)["streams"]
    total_bytes, bits_per_second, lost, total = (int(fields[at]) for at in (7, 8, 10, 11))
    assert (stream["sender"], stream["kind"]) == (there.ipv4, "iperf")
    assert (stream["received"], stream["lost"], stream["lost_network"]) == (total - lost, lost, lost)
    is_lossy = request.node.callspec.params["listener"] == "lossy"
    assert lost == sum(number & 0xFF in LOSSES for number in range(1, total) if is_lossy)
    assert (stream["duplicates"], stream["reordered"]) == (0, 0)
    assert json.loads(program.out)["bytes"] == total_bytes
    assert stream["rate_pps"] * size * 8 == pytest.approx(bits_per_second, rel=0.05)
    # Not the same: iperf takes the time when it reads a datagram, and measure the time when the kernel received it.
    assert 0 < stream["jitter_us"] < 1e6
