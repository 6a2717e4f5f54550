"""Recording: the file has what was received, and other programs read it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import multicast
from multicast.capture import Player, Recorder
from multicast.exceptions import UnsupportedError
from tests.support.hosts import Host
from tests.support.programs import Program, environment
from tests.support.waiting import until
from tests.wire.places import on
from tests.wire.test_fork import in_child

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUP = "239.4.15.1"
GROUP6 = "ff15::4:15:1"
PORT = 49_415
FIELDS = (
    "frame.time_epoch", "ip.src", "ip.dst", "ip.ttl", "ip.len", "ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.plen",
    "udp.srcport", "udp.dstport", "udp.length", "udp.payload",
)  # fmt: skip


@pytest.fixture
def rx(loopback: str) -> Iterator[multicast.Receiver]:
    with multicast.Receiver(GROUP, 0, interface=loopback, gro=False) as receiver:
        yield receiver


def send(rx: multicast.Receiver, payloads: list[bytes], **options: object) -> None:
    group = rx.groups[0].group
    with multicast.Sender(group, rx.port, interface="lo", ttl=7, **options) as tx:  # type: ignore[arg-type]
        tx.send_many(payloads)


def record(recorder: Recorder, rx: multicast.Receiver, count: int) -> None:
    """Record until ``count`` datagrams have been written, or a limit was reached."""
    while recorder.stats().written < count:
        if not recorder.write(rx.recv_batch(timeout=10.0), rx):
            break


def tshark(path: Path, *fields: str) -> list[list[str]]:
    checks = ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    wanted = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", str(path), *checks, "-T", "fields", *wanted],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def payloads_of(path: Path) -> list[bytes]:
    return [bytes.fromhex(payload) for (payload,) in tshark(path, "udp.payload")]


@pytest.mark.parametrize("group", [GROUP, GROUP6])
def test_recording_beside_tcpdump_is_equal_field_by_field(
    group: str, hosts: list[Host], tool: Callable[[str], str], tmp_path: Path
) -> None:
    tool("tshark")
    ours, theirs = tmp_path / "ours.pcapng", tmp_path / "theirs.pcap"
    payloads = [bytes([n]) * (n * 71 + 1) for n in range(20)]
    with ExitStack() as stack:
        with on(hosts[0]):
            tx = stack.enter_context(multicast.Sender(group, PORT, interface="eth0", ttl=7, gso=False))
        with on(hosts[1]):
            rx = stack.enter_context(multicast.Receiver(group, PORT, interface="eth0", gro=False))
        words = ["-Z", "root", "-i", "eth0", "--time-stamp-precision=nano", "--immediate-mode", "-U"]
        dump = hosts[1].popen(
            tool("tcpdump"), *words, "-c", str(len(payloads)), "-w", str(theirs), f"udp port {PORT}"
        )
        with dump:
            stack.callback(dump.kill)
            assert dump.stderr is not None
            assert "listening on eth0" in dump.stderr.readline()
            with Recorder(ours, rx) as recorder:
                tx.send_many(payloads)
                record(recorder, rx, len(payloads))
            dump.wait(10)
    found = tshark(ours, *FIELDS)
    assert found == tshark(theirs, *FIELDS)
    assert [bytes.fromhex(row[-1]) for row in found] == payloads
    checks = tshark(ours, "ip.checksum.status", "udp.checksum.status")
    assert {tuple(row) for row in checks} == {("1" if group == GROUP else "", "1")}


def test_recording_has_comment_interface_and_drops_for_capinfos(
    tool: Callable[[str], str], tmp_path: Path, loopback: str
) -> None:
    path = tmp_path / "feed.pcapng"
    with (
        multicast.Receiver(GROUP, 0, interface=loopback, ring=8, gro=False) as rx,
        Recorder(path, rx, comment="a comment") as recorder,
    ):
        send(rx, [b"x"] * 100, gso=False)
        until(lambda: rx.stats().ring_drops == 92 or None, "92 drops of the ring")
        record(recorder, rx, 8)
    done = subprocess.run([tool("capinfos"), "-M", path], capture_output=True, text=True, check=True)
    for line in (
        "a comment",
        "Name = lo",
        "nanoseconds",
        "Number of packets:   8",
        f"multicast {multicast.__version__}",
    ):
        assert line in done.stdout, done.stdout
    # The last 8 bytes of the counters: those that arrived, were dropped here, dropped by the kernel, and written.
    statistics = path.read_bytes().rpartition(b"\x05\x00\x00\x00")[2]
    for code, count in ((4, 100), (5, 92), (7, 0), (8, 8)):
        option = code.to_bytes(2, "little") + b"\x08\x00" + count.to_bytes(8, "little")
        assert option in statistics


def test_recorder_rotates_by_size_and_keeps_the_newest_files(
    rx: multicast.Receiver, tool: Callable[[str], str], tmp_path: Path
) -> None:
    tool("tshark")
    payloads = [n.to_bytes(4, "big") * 25 for n in range(100)]
    with Recorder(tmp_path / "feed.pcapng", rx, rotate_bytes=2000, max_files=3) as recorder:
        send(rx, payloads)
        record(recorder, rx, len(payloads))
    stats = recorder.stats()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        f"feed-{n:05}.pcapng" for n in range(stats.files - 2, stats.files + 1)
    ]
    assert stats.files >= 8
    assert all(file.stat().st_size <= 2000 for file in files)
    found = [payload for file in files for payload in payloads_of(file)]
    assert found == payloads[-len(found) :]


def test_recorder_that_rotates_goes_on_after_the_files_that_exist(
    rx: multicast.Receiver, tmp_path: Path
) -> None:
    before = tmp_path / "feed-00009.pcapng"
    before.write_bytes(b"precious")
    for overwrite, first in ((False, 10), (True, 1)):
        with Recorder(tmp_path / "feed.pcapng", rx, rotate_bytes=300, overwrite=overwrite) as recorder:
            assert recorder.path == tmp_path / f"feed-{first:05}.pcapng"
            send(rx, [b"x"] * 4)
            record(recorder, rx, 4)
        assert recorder.path.name == f"feed-{first + recorder.stats().files - 1:05}.pcapng"
    assert before.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("limits", "expected"), [({"max_datagrams": 7}, 7), ({"max_bytes": 2000}, 10), ({"max_rate": 2000.0}, 10)]
)
def test_recorder_limit_leaves_the_rest_out(
    limits: dict[str, int], expected: int, rx: multicast.Receiver, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with Recorder(tmp_path / "feed.pcapng", rx, **limits) as recorder:  # type: ignore[arg-type]
        send(rx, [b"x" * 100] * 50)
        received = 0
        while received < 50:
            batch = rx.recv_batch(timeout=10.0)
            received += len(batch)
            recorder.write(batch, rx)
    stats = recorder.stats()
    # With a rate, more datagrams of about 200 bytes fit as time passes.
    more = limits.get("max_rate", 0) * (time.monotonic() - begun) / 200
    assert expected - 1 <= stats.written <= expected + 1 + more
    assert stats.over_rate == (50 - stats.written if "max_rate" in limits else 0)


def test_recorder_refuses_an_existing_file_unless_it_overwrites(
    rx: multicast.Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "feed.pcapng"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"cannot create .*feed\.pcapng: .* \(choose another name"):
        Recorder(path, rx)
    assert path.read_bytes() == b"precious"
    with Recorder(path, rx, overwrite=True):
        pass
    assert path.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_recorder_of_a_pipe_without_a_reader_is_interrupted_by_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    words = "from multicast.capture import Recorder; Recorder(sys.argv[1], [], overwrite=True)"
    program = Program([sys.executable, "-c", f"import sys; {words}", os.fspath(path)])
    with program:
        until(lambda: program.wait_channel() == "wait_for_partner" or None, "the wait for a reader")
        program.interrupt()
        assert program.finish(timeout=10) == -signal.SIGINT
    assert program.err.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotate_bytes": 0}, "rotate_bytes must be"),
        ({"rotate_seconds": 0.0}, "rotate_seconds must be a number above 0, got 0.0"),
        ({"max_rate": float("nan")}, "max_rate must be a number above 0, got nan"),
        ({"max_files": 2}, "max_files must be None without rotate_bytes or rotate_seconds, got 2"),
    ],
)
def test_recorder_with_a_bad_limit_creates_no_file(
    options: dict[str, float], message: str, rx: multicast.Receiver, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        Recorder(tmp_path / "feed.pcapng", rx, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


_ON_A_SMALL_DISK = 'mount -t tmpfs -o size=64k tmpfs disk && exec "$0" -c "$1"'
# On that disk: the error, what the file had then, and what the counters say.
_FULL_DISK = """
import shutil, sys, multicast
from multicast.capture import Recorder
with multicast.Receiver("239.4.15.1", 0, interface="lo", gro=False) as rx:
    with multicast.Sender("239.4.15.1", rx.port, interface="lo") as tx:
        recorder = Recorder("disk/feed.pcapng", rx)
        tx.send_many([n.to_bytes(4, "big") * 250 for n in range(200)])
        try:
            with recorder:
                received = 0
                while received < 200:
                    batch = rx.recv_batch(timeout=10.0)
                    received += len(batch)
                    recorder.write(batch, rx)
        except OSError as error:
            print(error.errno, error)
        print(recorder.stats().written, recorder.stats().unwritten)
        recorder.close()
shutil.copy("disk/feed.pcapng", "feed.pcapng")
"""


def printed_by(program: list[str], folder: Path) -> str:
    """Run a program in a folder, and return what it prints. It must end with 0."""
    done = subprocess.run(
        program, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_recorder_on_a_full_disk_raises_once_and_leaves_a_readable_file(
    tool: Callable[[str], str], tmp_path: Path
) -> None:
    tool("tshark")
    (tmp_path / "disk").mkdir()
    printed = printed_by(
        ["unshare", "-m", "bash", "-c", _ON_A_SMALL_DISK, sys.executable, _FULL_DISK], tmp_path
    )
    error, counts = printed.splitlines()
    written, unwritten = map(int, counts.split())
    assert error.startswith("28 [Errno 28] cannot write disk/feed.pcapng: ")
    assert f"(the file is readable; {unwritten} received datagrams were not written; free some space" in error
    assert written + unwritten == 200
    assert 40 < written < 65
    assert payloads_of(tmp_path / "feed.pcapng") == [n.to_bytes(4, "big") * 250 for n in range(written)]


# Record to a file that cannot have more than this many bytes, or 0 for no limit.
_NO_ROOM = """
import os, resource, sys, multicast
from multicast.capture import Recorder
path, most = sys.argv[1], int(sys.argv[2])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
with multicast.Receiver("239.4.15.1", 0, interface="lo", gro=False) as rx:
    try:
        Recorder(path, rx, overwrite=True)
    except OSError as error:
        print(error.errno, error)
"""


@pytest.mark.parametrize(
    ("name", "most", "code", "state"),
    [
        ("/dev/full", 0, 28, "the file is empty; free some space, or limit the size of the recording"),
        ("feed.pcapng", 50, 27, "the file is empty"),
    ],
    ids=["full disk", "limited size"],
)
def test_recorder_without_room_for_a_header_says_that_the_file_is_empty(
    name: str, most: int, code: int, state: str, tmp_path: Path
) -> None:
    printed = printed_by([sys.executable, "-c", _NO_ROOM, name, str(most)], tmp_path)
    assert printed.startswith(f"{code} [Errno {code}] cannot write {name}: ")
    assert printed.endswith(f" ({state})\n")
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


def test_recorder_flushes_within_a_second_while_nothing_arrives(
    rx: multicast.Receiver, tool: Callable[[str], str], tmp_path: Path
) -> None:
    tool("tshark")
    path = tmp_path / "feed.pcapng"
    with Recorder(path, rx) as recorder:
        send(rx, [b"hello"])
        record(recorder, rx, 1)

        def is_there() -> "bool | None":
            recorder.tick()
            return b"hello" in path.read_bytes() or None

        until(is_there, "the datagram in the file", 1.0)
        assert payloads_of(path) == [b"hello"]


# A forked process cannot use a packet receiver.
@pytest.mark.udp_sockets
def test_recorder_inherited_by_a_fork_writes_in_the_parent_only(
    rx: multicast.Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "feed.pcapng"
    with Recorder(path, rx) as recorder:
        send(rx, [b"one"] * 10)
        record(recorder, rx, 10)

        def use() -> None:
            batch = rx.recv_batch(timeout=10.0)
            with pytest.raises(UnsupportedError, match=r"cannot record to .* in a forked process"):
                recorder.write(batch, rx)
            with pytest.raises(UnsupportedError, match=r"cannot record to .* in a forked process"):
                recorder.tick()
            recorder.close()

        send(rx, [b"for the child"])
        assert in_child(use) == 0
        send(rx, [b"two"] * 10)
        record(recorder, rx, 20)
    with Player(path, interface="lo", speed=None) as player:
        assert player.run() == "ended"
    assert player.stats().sent == 20
