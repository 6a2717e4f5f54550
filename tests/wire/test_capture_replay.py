"""Replaying: files of this package and of other programs are sent as they were captured."""

import contextlib
import itertools
import random
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import multicast
from multicast.capture import Player, Recorder
from tests.support.waiting import until

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUP = "239.4.16.1"
OTHER = "239.4.16.2"
GROUP6 = "ff15::4:16:1"
PORT = 49_416
SECOND = 1_000_000_000


@pytest.fixture
def rx(loopback: str) -> Iterator[multicast.Receiver]:
    with multicast.Receiver(GROUP, PORT, interface=loopback, gro=False) as receiver:
        yield receiver


def ip_packet(payload: bytes, group: str = GROUP, port: int = PORT) -> bytes:
    """Return an IPv4 packet with a UDP datagram, without checksums."""
    udp = struct.pack("!HHHH", 40_000, port, 8 + len(payload), 0) + payload
    source, destination = (bytes(map(int, address.split("."))) for address in ("10.0.0.1", group))
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 9, 0, 7, 17, 0) + source + destination + udp


def fragments(packet: bytes, size: int) -> list[bytes]:
    """Return the packet as fragments of this many payload bytes, a multiple of 8."""
    body = packet[20:]
    parts: list[bytes] = []
    for at in range(0, len(body), size):
        more = 0x2000 if at + size < len(body) else 0
        head = bytearray(packet[:20])
        head[2:4] = struct.pack("!H", 20 + len(body[at : at + size]))
        head[6:8] = struct.pack("!H", more | at // 8)
        parts.append(bytes(head) + body[at : at + size])
    return parts


def pcap(
    packets: Sequence[bytes], link: int = 101, order: str = "<", units: int = 1_000_000, gap_ns: int = 0
) -> bytes:
    magic = 0xA1B2C3D4 if units == 1_000_000 else 0xA1B23C4D
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, link)
    for n, packet in enumerate(packets):
        seconds, rest = divmod(1_700_000_000 * SECOND + n * gap_ns, SECOND)
        out += struct.pack(f"{order}IIII", seconds, rest * units // SECOND, len(packet), len(packet)) + packet
    return out


def received(rx: multicast.Receiver, count: int) -> list[bytes]:
    return [rx.recv(timeout=10.0).data for _ in range(count)]


def play(path: Path, **options: object) -> Player:
    with Player(path, interface="lo", **options) as player:  # type: ignore[arg-type]
        assert player.run() == "ended"
    return player


ETHERNET = bytes(12) + b"\x08\x00"
LINKS = {
    "raw": (101, b""),
    "ethernet": (1, ETHERNET),
    "vlan": (1, bytes(12) + b"\x81\x00\x00\x05\x08\x00"),
    "cooked": (113, bytes(14) + b"\x08\x00"),
    "cooked-v2": (276, b"\x08\x00" + bytes(18)),
    "null": (0, b"\x02\x00\x00\x00"),
    "loop": (108, b"\x00\x00\x00\x02"),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("units", [1_000_000, SECOND])
@pytest.mark.parametrize("link_type", LINKS)
def test_replay_of_a_pcap_file_is_byte_exact(
    link_type: str, units: int, order: str, rx: multicast.Receiver, tmp_path: Path
) -> None:
    number, header = LINKS[link_type]
    payloads = [bytes([n]) * n * 40 for n in range(10)]
    # Ethernet pads short packets.
    packets = [header + ip_packet(payload) + bytes(6) for payload in payloads]
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap(packets, number, order, units, gap_ns=SECOND // 1000))
    stats = play(path).stats()
    assert received(rx, 10) == payloads
    assert (stats.packets, stats.sent, stats.loops, stats.is_file_cut) == (10, 10, 1, False)


def test_replay_of_fragments_is_byte_exact_and_counts_incomplete_ones(
    rx: multicast.Receiver, tmp_path: Path
) -> None:
    payload = bytes(range(256)) * 20
    parts = fragments(ip_packet(payload), 1480)
    lost = [bytes([*part[:4], 1, *part[5:]]) for part in parts[1:]]
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([*reversed(parts), *lost]))
    stats = play(path).stats()
    assert received(rx, 1) == [payload]
    assert (stats.sent, stats.incomplete) == (1, 1)


@pytest.mark.parametrize("group", [GROUP, GROUP6])
def test_replay_of_a_recording_keeps_payloads_and_gaps(group: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcapng"
    payloads = [bytes([n]) * (n * 50) for n in range(20)]
    with multicast.Receiver(group, 0, interface="lo", gro=False) as rx:
        with (
            multicast.Sender(group, rx.port, interface="lo", rate=100.0) as tx,
            Recorder(path, rx) as recorder,
        ):
            tx.send_many(payloads)
            recorded = [rx.recv_batch(1, timeout=10.0) for _ in payloads]
            for batch in recorded:
                recorder.write(batch, rx)
        play(path)
        replayed = [rx.recv(timeout=10.0) for _ in payloads]
    assert [one.data for one in replayed] == payloads
    times = [[one.timestamp_ns or 0 for one in row] for row in ([one[0] for one in recorded], replayed)]
    whole = [row[-1] - row[0] for row in times]
    # A busy machine can delay the first or the last one.
    assert 0.5 * whole[0] < whole[1] < whole[0] + SECOND


@pytest.mark.parametrize("program", ["tcpdump", "tshark", "text2pcap"])
def test_replay_of_a_file_of_another_program_is_byte_exact(
    program: str, tool: Callable[[str], str], rx: multicast.Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "feed.cap"
    payloads = [bytes([n]) * (n * 100 + 1) for n in range(10)]
    if program == "text2pcap":
        text = "".join(f"0000 {payload.hex(' ')}\n\n" for payload in payloads)
        (tmp_path / "feed.txt").write_text(text)
        words: list[str] = [
            "-q",
            "-u",
            f"40000,{PORT}",
            "-4",
            f"10.0.0.1,{GROUP}",
            str(tmp_path / "feed.txt"),
            str(path),
        ]
        subprocess.run([tool(program), *words], check=True, capture_output=True)
    else:
        words = (
            ["-Z", "root", "--immediate-mode", "-U"] if program == "tcpdump" else ["-F", "pcapng", "-l", "-P"]
        )
        filters = [f"udp port {PORT}"] if program == "tcpdump" else ["-f", f"udp port {PORT}"]
        command = [tool(program), "-i", "any", "-c", "10", *words, "-w", str(path), *filters]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as dump:
            assert dump.stderr is not None
            for line in dump.stderr:
                if "listening on" in line or "Capturing on" in line or "started" in line:
                    break
            with multicast.Sender(GROUP, PORT, interface="lo", gso=False) as tx:
                # A capture of "any" has each datagram of the loopback interface once or twice.
                sent = 0
                while dump.poll() is None:
                    tx.send(payloads[sent % 10])
                    sent += 1
                    threading.Event().wait(0.01)
        received(rx, sent)
    stats = play(path, speed=None).stats()
    found = received(rx, stats.sent)
    assert stats.sent == 10
    if program == "text2pcap":
        assert found == payloads
    else:
        assert set(found) <= set(payloads)
        assert len(set(found)) >= 5


def test_replay_selects_and_maps_groups_and_ports(loopback: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(
        pcap([ip_packet(b"one"), ip_packet(b"two", OTHER), ip_packet(b"port", GROUP, PORT + 1)])
        + pcap([ip_packet(b"unicast", "10.0.0.2")])[24:]
    )
    with multicast.Receiver([GROUP, OTHER], 0, interface=loopback) as rx:
        target = f"{OTHER}:{rx.port}"
        player = play(path, groups=[f"{GROUP}:{PORT}"], map={GROUP: target})
        assert (player.stats().sent, player.stats().filtered) == (1, 3)
        assert player.destinations == (target,)
        assert received(rx, 1) == [b"one"]
        player = play(path, map={"10.0.0.2": target, f"{GROUP}:{PORT}": target, OTHER: target})
        assert (player.stats().sent, player.stats().filtered) == (4, 0)
        assert received(rx, 3) == [b"one", b"two", b"unicast"]


@pytest.mark.parametrize("interface", ["lo", "127.0.0.1"])
def test_replay_maps_a_group_to_the_other_ip_version(interface: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"one")]))
    with multicast.Receiver("ff15::4:15", 0, interface="lo") as rx:
        target = f"[ff15::4:15]:{rx.port}"
        with Player(path, interface=interface, speed=None, map={f"{GROUP}:{PORT}": target}) as player:
            player.run()
            assert player.destinations == (target,)
        assert received(rx, 1) == [b"one"]


@pytest.mark.alone
def test_replay_speed_and_rate_change_the_time_it_takes(rx: multicast.Receiver, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"x")] * 11, units=SECOND, gap_ns=SECOND // 10))

    def duration(**options: float) -> float:
        play(path, **options)
        times = [rx.recv(timeout=10.0).timestamp_ns or 0 for _ in range(11)]
        return (times[-1] - times[0]) / SECOND

    # Half a second. As it was captured, it would take a second.
    assert 0.3 < duration(speed=2.0) < 0.9
    assert 0.3 < duration(rate=20.0) < 0.9


def test_replay_loops_until_it_is_stopped(rx: multicast.Receiver, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"one"), ip_packet(b"two")], gap_ns=SECOND // 1000))
    assert play(path, loops=3).stats().sent == 6
    assert received(rx, 6) == [b"one", b"two"] * 3
    with Player(path, interface="lo", loops=None) as player:
        assert player.run(stop=lambda: player.stats().sent >= 20) == "stopped"
    assert player.stats().loops >= 9


@pytest.mark.parametrize("rate", [1000.0, 1500.0, 7000.0])
def test_replay_of_one_datagram_at_a_rate_repeats_it(
    rate: float, rx: multicast.Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"one")]))
    assert play(path, rate=rate, loops=50).stats().sent == 50
    assert received(rx, 50) == [b"one"] * 50


def test_replay_flat_out_coalesces_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    payloads = [n.to_bytes(4, "big") * 25 for n in range(2000)]
    path.write_bytes(pcap([ip_packet(payload) for payload in payloads]))
    with multicast.Receiver(GROUP, PORT, interface="lo", ring=4096) as rx:
        with Player(path, interface="lo", speed=None) as player:
            player.run()
            sender = player._senders[0]
            assert sender.stats().coalesced > 1900
        assert received(rx, 2000) == payloads


def damaged(seed: int) -> bytes:
    chance = random.Random(seed)
    good = bytearray(pcap([ip_packet(bytes(n)) for n in range(20)], order=chance.choice("<>")))
    for _ in range(chance.randrange(1, 6)):
        good[chance.randrange(len(good))] = chance.randrange(256)
    return bytes(good[: chance.randrange(len(good) + 1)])


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_replay_of_damaged_files_ends_or_raises_one_clear_error(start: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    for seed in range(start, start + 50):
        path.write_bytes(damaged(seed))
        try:
            with Player(path, interface="lo", speed=None, ttl=1) as player:
                player.run()
        except ValueError as error:
            assert str(error).startswith(f"cannot read {path}: "), seed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no pcap or pcapng header, because it is too short"),
        (b"not a capture at all", "it is neither a pcap nor a pcapng file"),
        (pcap([bytes(40)], link=105), "its packets have link type 105"),
        (pcap([])[:20], "it ends in its header"),
        (pcap([]) + struct.pack("<IIII", 0, 0, 2**31, 0), "a packet has 2147483648 bytes, before byte 40"),
    ],
)
def test_replay_of_a_file_that_is_no_capture_names_the_reason(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"cannot read .*feed\.pcap: {message}"), Player(path) as player:
        player.run()


def test_replay_of_a_cut_file_sends_what_is_whole(rx: multicast.Receiver, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"one"), ip_packet(b"two")])[:-1])
    stats = play(path).stats()
    assert (stats.sent, stats.is_file_cut) == (1, True)
    assert received(rx, 1) == [b"one"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 0.0}, "speed must be a number above 0, got 0.0"),
        ({"rate": float("inf")}, "rate must be a number above 0, got inf"),
        ({"loops": 0}, "loops must be"),
        ({"groups": ["nonsense:"]}, "^groups must have addresses, optionally with a port: .*nonsense"),
        ({"map": {"239.1.2.3": "10.0.0.1"}}, "^map must send to a group, got '10.0.0.1'$"),
        ({"map": {"239.1.2.3": ""}}, "^map must have addresses, optionally with a port: '' names no group"),
        ({"map": {"239.1.2.0+2": "239.1.3.1"}}, "the same number of groups"),
    ],
)
def test_replay_with_a_bad_argument_raises(options: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([]))
    with pytest.raises(ValueError, match=message):
        Player(path, **options)  # type: ignore[arg-type]


@pytest.mark.alone
def test_replay_of_ten_thousand_a_second_keeps_the_gaps(tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(
        pcap([ip_packet(n.to_bytes(4, "big")) for n in range(10_000)], units=SECOND, gap_ns=100_000)
    )
    with multicast.Receiver(GROUP, PORT, interface="lo", gro=False, ring=16_384) as rx:
        play(path)
        times = [rx.recv(timeout=10.0).timestamp_ns or 0 for _ in range(10_000)]
    gaps = [abs(after - before - 100_000) for before, after in itertools.pairwise(times)]
    # The machine may do something else for a moment, so the best of ten parts counts.
    parts = [sorted(gaps[at : at + 999]) for at in range(0, 9_990, 999)]
    assert min(part[499] for part in parts) <= 50_000
    assert min(part[989] for part in parts) <= 500_000


@pytest.mark.parametrize("recorder", ["tcpdump", "ours"])
def test_replay_of_a_stream_of_ffmpeg_is_byte_exact(
    recorder: str, tool: Callable[[str], str], rx: multicast.Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "feed.cap"
    url = f"udp://{GROUP}:{PORT}?pkt_size=1316&localaddr=127.0.0.1"
    source = ["-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-t", "1"]
    stream = [tool("ffmpeg"), "-v", "error", *source, "-c:v", "mpeg2video", "-f", "mpegts", url]
    tcpdump = [tool("tcpdump"), "-Z", "root", "-i", "lo", "--immediate-mode", "-U", "-w", str(path)]
    with contextlib.ExitStack() as stack:
        if recorder == "tcpdump":
            dump = stack.enter_context(
                subprocess.Popen([*tcpdump, f"udp port {PORT}"], stderr=subprocess.PIPE, text=True)
            )
            assert dump.stderr is not None
            assert "listening on lo" in dump.stderr.readline()
            stack.callback(dump.terminate)
        subprocess.run(stream, check=True, stdin=subprocess.DEVNULL)
        batch = rx.recv_batch(10_000, timeout=10.0, linger=0.1)
        if recorder == "ours":
            stack.enter_context(Recorder(path, rx)).write(batch, rx)
    stats = play(path, speed=10.0).stats()
    assert (stats.sent, stats.other, stats.cut) == (len(batch), 0, 0)
    assert len(batch) > 20
    found = received(rx, len(batch))
    assert found == batch.payloads()
    assert all(payload[::188] == b"\x47" * (len(payload) // 188) for payload in found)


def test_replay_without_a_selected_datagram_looks_at_its_end_in_between(tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(bytes(1))]))
    record = path.read_bytes()[24:]
    with path.open("ab") as file:
        for _ in range(60):
            file.write(record * 50_000)
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        # The first time is before the file is read; the next one is 0.05 s later.
        return looks == 2

    with Player(path, groups=[OTHER]) as player:
        assert player.run(stop=stop) == "stopped"
        assert 0.0 < (player.progress or 0.0) < 1.0
        assert player.run() == "ended"
        assert player.progress == 1.0
        assert player.stats().filtered == 3_000_001


def test_replay_that_repeats_knows_its_progress_unless_it_has_no_end(
    rx: multicast.Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"one")] * 600))
    with Player(path, interface="lo", speed=None, loops=2) as player:
        assert player.progress == pytest.approx(0.0, abs=0.01)
        assert player.run() == "ended"
        assert player.progress == 1.0
    with Player(path, loops=None) as player:
        assert player.progress is None


@pytest.mark.parametrize("rate", [100.0, None], ids=["slow", "flat out"])
def test_replay_closed_by_another_thread_stops(rate: float | None, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(pcap([ip_packet(b"one")]))
    with Player(path, interface="lo", speed=None, rate=rate, loops=None) as player:
        results: list[str] = []
        thread = threading.Thread(target=lambda: results.append(player.run()))
        thread.start()
        until(lambda: player.stats().sent > 3, "some datagrams to be sent")
        player.close()
        thread.join()
    assert results == ["stopped"]
