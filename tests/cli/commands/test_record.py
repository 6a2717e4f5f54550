"""``multicast record`` and ``multicast replay``: files of datagrams, and how the commands end."""

import itertools
import json
import os
import re
import signal
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from multicast import Receiver, Sender
from tests.cli.running import GROUP, MULTICAST, OTHER, run, start
from tests.support import background
from tests.support.programs import Program, at_terminal
from tests.support.waiting import until

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


def recording(path: Path, port: int, *words: str) -> Program:
    return start("record", f"{GROUP}:{port}%lo", "-o", os.fspath(path), *words)


def send(port: int, payloads: list[bytes], **options: object) -> None:
    with Sender(GROUP, port, interface="lo", **options) as tx:  # type: ignore[arg-type]
        tx.send_many(payloads)


def payloads_of(*paths: Path) -> list[bytes]:
    found: list[bytes] = []
    for path in paths:
        words = ["tshark", "-r", os.fspath(path), "-T", "fields", "-e", "udp.payload"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found += [bytes.fromhex(line) for line in done.stdout.splitlines()]
    return found


def capture(path: Path, *datagrams: tuple[str, int, bytes]) -> None:
    """Write a pcap file with datagrams to these groups and ports, 10 ms apart."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
    for n, (group, port, payload) in enumerate(datagrams):
        udp = struct.pack("!HHHH", 40_000, port, 8 + len(payload), 0) + payload
        addresses = bytes(map(int, f"10.0.0.1.{group}".split(".")))
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0) + addresses + udp
        out += struct.pack("<IIII", 1_700_000_000, n * 10_000, len(packet), len(packet)) + packet
    path.write_bytes(out)


def test_record_writes_every_datagram_and_a_summary(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    path = tmp_path / "feed.pcapng"
    payloads = [n.to_bytes(2, "big") * 50 for n in range(500)]
    with recording(path, free_port, "-c", "500", "--json") as program:
        program.until_joined(GROUP)
        send(free_port, payloads, rate=10_000.0)
        assert program.finish() == 0
    summary = json.loads(program.out.splitlines()[-1])
    assert summary == {
        "type": "summary",
        "received": 500,
        "written": 500,
        "bytes": 50_000,
        "file_bytes": path.stat().st_size,
        "files": 1,
        "over_rate": 0,
        "after_limit": 0,
        "lost_here": 0,
        "kernel_drops": 0,
        "ring_drops": 0,
        "filtered": 0,
        "invalid": 0,
        "unassembled": 0,
        "duration_s": summary["duration_s"],
    }
    assert payloads_of(path) == payloads


def test_record_ends_with_a_summary_after_ctrl_c(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    path = tmp_path / "feed.pcapng"
    with recording(path, free_port) as program:
        program.until_joined(GROUP)
        send(free_port, [b"one", b"two"])
        program.interrupt()
        assert program.finish() == 130
    assert program.out == ""
    assert f"recording to {path}" in program.err
    assert program.err.splitlines()[-1].startswith("recorded 2 datagrams, ")
    assert payloads_of(path) == [b"one", b"two"]


def test_record_that_is_killed_leaves_a_readable_file(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    path = tmp_path / "feed.pcapng"
    payloads = [n.to_bytes(4, "big") * 250 for n in range(20_000)]
    with recording(path, free_port) as program:
        program.until_joined(GROUP)
        send(free_port, payloads[:10_000], rate=20_000.0)
        until(lambda: path.stat().st_size > 9_000_000 or None, "most of the file")
        send(free_port, payloads[10_000:], rate=20_000.0)
        program.interrupt(signal.SIGKILL)
        assert program.finish() == -signal.SIGKILL
    found = payloads_of(path)
    assert len(found) >= 9_000
    assert found == payloads[: len(found)]


def test_record_rotates_and_loses_nothing_between_files(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    payloads = [n.to_bytes(4, "big") * 250 for n in range(5000)]
    with recording(tmp_path / "feed.pcapng", free_port, "-c", "5000", "--rotate-size", "1M") as program:
        program.until_joined(GROUP)
        send(free_port, payloads, rate=50_000.0)
        assert program.finish() == 0
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"feed-0000{n}.pcapng" for n in range(1, 7)]
    assert payloads_of(*files) == payloads


def test_record_that_is_killed_while_it_rotates_leaves_readable_files(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    words = ["--rotate-size", "1M", "--max-files", "4", "--recv-buffer", "67108864"]

    def flood(stop: threading.Event) -> None:
        with Sender(GROUP, free_port, interface="lo") as tx:
            first = 0
            while not stop.is_set():
                tx.send_many([n.to_bytes(4, "big") * 250 for n in range(first, first + 1000)])
                first += 1000

    with recording(tmp_path / "feed.pcapng", free_port, *words) as program:
        program.until_joined(GROUP)
        with background.running(flood):
            until(lambda: (tmp_path / "feed-00020.pcapng").exists() or None, "twenty files")
            program.interrupt(signal.SIGKILL)
            assert program.finish() == -signal.SIGKILL
    files = sorted(tmp_path.iterdir())
    # The oldest one may not have been removed yet.
    assert len(files) in {4, 5}
    found = [int.from_bytes(payload[:4], "big") for payload in payloads_of(*files)]
    assert len(found) > 2500
    assert all(before < after for before, after in itertools.pairwise(found))


def test_record_ends_at_the_maximum_size_and_counts_the_rest(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcapng"
    with recording(path, free_port, "--max-size", "10k", "--json") as program:
        program.until_joined(GROUP)
        send(free_port, [b"x" * 100] * 200)
        assert program.finish() == 0
    summary = json.loads(program.out.splitlines()[-1])
    assert path.stat().st_size < 10_500
    assert 50 < summary["written"] < 70
    assert summary["written"] + summary["after_limit"] == summary["received"]


def test_record_without_a_datagram_exits_with_70(free_port: int, tmp_path: Path) -> None:
    done = run("record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(tmp_path / "feed.pcapng"), "-d", "0.2")
    assert done.returncode == 70
    assert (tmp_path / "feed.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_record_refuses_an_existing_file(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcapng"
    path.write_bytes(b"precious")
    done = run("record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(path))
    assert done.returncode != 0
    assert b"cannot create " in done.stderr
    assert b"(choose another name, or overwrite it)" in done.stderr
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["record", GROUP], "-o/--output"),
        (["record", GROUP, "-o", "x", "--max-files", "2"], "--max-files: needs --rotate-size"),
        (["record", GROUP, "-o", "x", "--max-size", "0"], "must be a number of bytes"),
        (["replay"], "FILE"),
        (["replay", "x", "--speed", "0"], "must be a number above 0"),
        (["replay", "x", "--speed", "2", "--flat-out"], "not allowed with"),
        (["replay", "x", "--map", "239.1.2.3"], "must be FROM=TO"),
        (["replay", "x", "--map", "239.1.2.3=10.0.0.1"], "10.0.0.1"),
    ],
)
def test_wrong_words_are_a_usage_error(words: list[str], message: str, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_replay_sends_the_file_and_says_what_it_left_out(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, (GROUP, free_port, b"one"), ("10.0.0.9", free_port, b"unicast"), (OTHER, free_port, b"two"))
    with Receiver(OTHER, free_port, interface="lo") as rx:
        done = run("replay", os.fspath(path), "-i", "lo", "--map", f"{GROUP}={OTHER}", "--json")
        assert [rx.recv(timeout=10.0).data for _ in range(2)] == [b"one", b"two"]
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == {
        "type": "summary",
        "read": 3,
        "sent": 2,
        "bytes": 6,
        "other": 0,
        "filtered": 1,
        "cut": 0,
        "incomplete": 0,
        "loops": 1,
        "file_cut": False,
        "destinations": [f"{OTHER}:{free_port}"],
        "duration_s": summary["duration_s"],
    }


def test_replay_repeats_until_ctrl_c(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, (GROUP, free_port, b"one"), (GROUP, free_port, b"two"))
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        start("replay", os.fspath(path), "-i", "lo", "--loop", "0") as program,
    ):
        assert [rx.recv(timeout=10.0).data for _ in range(6)] == [b"one", b"two"] * 3
        program.interrupt()
        assert program.finish() == 130
    assert program.err.splitlines()[-1].startswith("sent ")


def test_replay_of_a_file_without_datagrams_exits_with_70(tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path)
    assert run("replay", os.fspath(path), "-i", "lo").returncode == 70


def test_replay_of_a_damaged_file_is_one_error_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    path.write_bytes(b"this is no capture")
    done = run("replay", os.fspath(path), "-i", "lo")
    assert done.returncode != 0
    assert done.stderr.decode().startswith(
        f"multicast replay: cannot read {path}: it is neither a pcap nor a pcapng file"
    )
    assert done.stdout == b""
    assert run("replay", os.fspath(tmp_path / "missing.pcap")).stderr.startswith(
        b"multicast replay: cannot open "
    )


def test_replay_shows_its_progress_at_a_terminal(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, *[(GROUP, free_port, b"x")] * 60)
    words = [*MULTICAST, "replay", os.fspath(path), "-i", "lo", "--rate", "30"]
    done = at_terminal(words)
    assert done.returncode == 0
    # The file is read ahead of what is sent.
    assert re.search(rb"\rsent \d+ datagrams  \[#+ *\]  +\d+%  0:0\d left\x1b\[K", done.stdout)
    assert done.stdout.rpartition(b"\r\x1b[K")[2].startswith(b"sent 60 datagrams, 60 bytes")


def test_record_shows_its_progress_at_a_terminal(free_port: int, tmp_path: Path) -> None:
    words = [*MULTICAST, "record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(tmp_path / "x"), "-d", "1.6"]
    done = at_terminal(words)
    assert done.returncode == 70
    assert re.search(
        rb"\rrecorded 0 datagrams, \d+ bytes  \[#+ +\]   [67]\d%  0:0\d left\x1b\[K", done.stdout
    )


def test_replay_of_a_file_that_is_damaged_later_says_what_was_sent(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, *[(GROUP, free_port, b"x")] * 300)
    with path.open("ab") as file:
        file.write(struct.pack("<IIII", 0, 0, 2**31, 0))
    done = run("replay", os.fspath(path), "-i", "lo", "--flat-out", "--json")
    assert done.returncode not in {0, 70}
    assert json.loads(done.stdout)["sent"] == 300
    assert b"a packet has 2147483648 bytes" in done.stderr
