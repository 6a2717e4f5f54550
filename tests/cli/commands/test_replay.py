"""``multicast replay``: the files that it sends, and how it ends."""

import json
import os
import re
import signal
import struct
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from multicast import Receiver, Sender
from tests.cli.running import GROUP, MULTICAST, OTHER, run, start
from tests.support.programs import Program, at_terminal
from tests.support.waiting import until

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

SECOND = 1_700_000_000


def capture(path: Path, *datagrams: tuple[str, int, bytes], second: int = SECOND) -> None:
    """Write a pcap file with datagrams to these groups and ports, 10 ms apart, which begins in this second."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
    for n, (group, port, payload) in enumerate(datagrams):
        udp = struct.pack("!HHHH", 40_000, port, 8 + len(payload), 0) + payload
        addresses = bytes(map(int, f"10.0.0.1.{group}".split(".")))
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0) + addresses + udp
        out += struct.pack("<IIII", second, n * 10_000, len(packet), len(packet)) + packet
    path.write_bytes(out)


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
        "written": 2,
        "bytes": 6,
        "lost_here": 0,
        "other": 0,
        "filtered": 1,
        "cut": 0,
        "incomplete": 0,
        "loops": 1,
        "file_cut": False,
        "destinations": [f"{OTHER}:{free_port}"],
        "duration_s": summary["duration_s"],
    }


def test_replay_that_leaves_one_datagram_out_says_why_in_the_singular(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, (GROUP, free_port, b"one"), ("10.0.0.9", free_port, b"unicast"))
    done = run("replay", os.fspath(path), "-i", "lo")
    expected = "sent 1 datagram, 3 bytes, left out 1 (not selected, or not sent to a group) in "
    assert done.stderr.decode().startswith(expected)


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


def test_replay_of_a_file_that_is_damaged_later_says_what_was_sent(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, *[(GROUP, free_port, b"x")] * 300)
    with path.open("ab") as file:
        file.write(struct.pack("<IIII", 0, 0, 2**31, 0))
    done = run("replay", os.fspath(path), "-i", "lo", "--flat-out", "--json")
    assert done.returncode not in {0, 70}
    assert json.loads(done.stdout)["written"] == 300
    assert b"a packet has 2147483648 bytes" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["replay"], "FILE"),
        (["replay", "x", "--speed", "0"], "must be a number above 0"),
        (["replay", "x", "--speed", "2", "--flat-out"], "not allowed with"),
        (["replay", "x", "--map", "239.1.2.3"], "must be FROM=TO"),
        (["replay", "x", "--map", "239.1.2.3=10.0.0.1"], "map must send to a group, got '10.0.0.1'"),
        (
            ["replay", "x", "--map", "feed=239.1.2.3"],
            "map must have addresses, optionally with a port: 'feed'",
        ),
        (
            ["replay", "x", "--map", "239.1.2.3=239.9.9.9:x"],
            "map must have addresses, optionally with a port: ",
        ),
        (
            ["replay", "x", "--map", "239.1.2.3=239.9.9.9%lo"],
            "map must have addresses, optionally with a port, got",
        ),
        (
            ["replay", "x", "--group", "239.1.2"],
            "groups must have addresses, optionally with a port: '239.1.2'",
        ),
        (
            ["replay", "x", "--group", "239.1.2.3%lo"],
            "groups must have addresses, optionally with a port, got",
        ),
    ],
)
def test_replay_with_wrong_words_is_a_usage_error(words: list[str], message: str, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_replay_of_several_files_sends_them_in_the_order_of_their_times(
    free_port: int, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("late.pcap", "early.pcap", "empty.pcap", "middle.pcap")]
    for path, second in zip(paths, (2, 0, None, 1), strict=True):
        given = [] if second is None else [(GROUP, free_port, path.stem.encode())]
        capture(path, *given, second=SECOND + (second or 0))
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("replay", *map(os.fspath, paths), "-i", "lo", "--speed", "20", "--json")
        received = [rx.recv(timeout=10.0) for _ in range(3)]
    assert done.returncode == 0, done.stderr
    assert [msg.data for msg in received] == [b"early", b"middle", b"late"]
    # Two seconds, twenty times as fast.
    assert 90_000_000 < (received[2].timestamp_ns or 0) - (received[0].timestamp_ns or 0) < 1_000_000_000
    summary = json.loads(done.stdout)
    assert (summary["read"], summary["written"], summary["loops"]) == (3, 3, 1)


def test_replay_of_several_files_repeats_all_of_them(free_port: int, tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for number, path in enumerate(paths):
        capture(path, (GROUP, free_port, path.name.encode()), second=SECOND + number)
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("replay", *map(os.fspath, paths), "-i", "lo", "--flat-out", "--loop", "2", "--json")
        assert [rx.recv(timeout=10.0).data for _ in range(4)] == [b"one", b"two"] * 2
    assert json.loads(done.stdout)["loops"] == 2


def test_replay_of_standard_input_sends_it_once(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, (GROUP, free_port, b"one"), (GROUP, free_port, b"two"))
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("replay", "-", "-i", "lo", "--json", input=path.read_bytes()[:-1])
        assert rx.recv(timeout=10.0).data == b"one"
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["written"], summary["file_cut"]) == (1, True)


def test_replay_of_a_pipe_sends_what_has_come_and_ends_by_ctrl_c(free_port: int, tmp_path: Path) -> None:
    path, pipe = tmp_path / "feed.pcap", tmp_path / "pipe"
    capture(path, *[(GROUP, free_port, bytes([n])) for n in range(3)])
    os.mkfifo(pipe)
    with (
        Receiver(GROUP, free_port, interface="lo") as rx,
        start("replay", os.fspath(pipe), "-i", "lo", "--json") as program,
        pipe.open("wb", buffering=0) as writer,
    ):
        # The third packet never ends.
        writer.write(path.read_bytes()[:-1])
        assert [rx.recv(timeout=10.0).data for _ in range(2)] == [b"\0", b"\x01"]
        program.interrupt()
        assert program.finish() == 130
    assert json.loads(program.out)["written"] == 2


def test_replay_of_a_file_that_still_grows_ends_with_the_last_complete_packet(
    free_port: int, tmp_path: Path
) -> None:
    path = tmp_path / "feed.pcap"
    capture(path, *[(GROUP, free_port, bytes([n])) for n in range(3)])
    path.write_bytes(path.read_bytes()[:-1])
    with Receiver(GROUP, free_port, interface="lo") as rx:
        done = run("replay", os.fspath(path), "-i", "lo", "--json")
        assert [rx.recv(timeout=10.0).data for _ in range(2)] == [b"\0", b"\x01"]
    assert done.returncode == 0
    assert f"{path} ends in the middle of a packet" in done.stderr.decode()
    summary = json.loads(done.stdout)
    assert (summary["written"], summary["file_cut"]) == (2, True)


def test_replay_of_a_recording_through_tail_follows_it(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcapng"
    with (
        start("record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(path)) as recording,
        Receiver(OTHER, free_port, interface="lo") as rx,
    ):
        recording.until_joined(GROUP)
        until(lambda: path.exists() or None, "the file")
        with ExitStack() as stack:
            tail = stack.enter_context(
                subprocess.Popen(["tail", "-c", "+1", "-f", path], stdout=subprocess.PIPE)
            )
            stack.callback(tail.kill)
            assert tail.stdout is not None
            pipe = tail.stdout.fileno()
            words = ["replay", f"/dev/fd/{pipe}", "-i", "lo", "--map", f"{GROUP}={OTHER}"]
            program = stack.enter_context(Program([*MULTICAST, *words], pass_fds=[pipe]))
            tx = stack.enter_context(Sender(GROUP, free_port, interface="lo"))
            for n in range(3):
                tx.send(bytes([n]))
                assert rx.recv(timeout=10.0).data == bytes([n])
            tail.kill()
            assert program.finish() == 0, program.err


def test_replay_of_a_pipe_without_a_writer_ends_by_sigterm(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with start("replay", os.fspath(pipe), "-i", "lo", "-v", "--json") as program:
        assert json.loads(program.line())["type"] == "interim"
        program.interrupt(signal.SIGTERM)
        assert program.finish() == 143


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["FOLDER"], "cannot read FOLDER: Is a directory"),
        (["EMPTY"], "cannot read EMPTY: it has no pcap or pcapng header, because it is too short"),
        (["GZIP"], "cannot read GZIP: it is compressed (decompress it first"),
        (["EMPTY", "-"], "cannot read EMPTY"),
        (["-", "EMPTY"], "several captures must be files, got standard input"),
        (["-", "--loop", "2"], "loops must be 1 for standard input, which cannot be read twice"),
        (["-"], "cannot read standard input: it has no pcap or pcapng header"),
        (["MISSING"], "cannot open MISSING: No such file or directory"),
    ],
)
def test_replay_of_what_is_no_capture_is_one_error(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "EMPTY").touch()
    (tmp_path / "GZIP").write_bytes(b"\x1f\x8b\x08\0 and so on")
    done = run("replay", *words, "-i", "lo", "--json", cwd=tmp_path)
    assert done.returncode not in {0, 70}
    assert done.stdout == b""
    error = done.stderr.decode().splitlines()[-1]
    assert message in error
    assert error.startswith("multicast replay: ")
