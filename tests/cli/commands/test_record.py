"""``multicast record``: the files that it writes, and how it ends."""

import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST, run, start
from tests.support import background
from tests.support.programs import Program, at_terminal
from tests.support.waiting import until, until_read

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


def recording(path: Path, port: int, *words: str) -> Program:
    return start("record", f"{GROUP}:{port}%lo", "-o", os.fspath(path), *words)


def send(port: int, payloads: list[bytes], **options: object) -> None:
    with Sender(GROUP, port, interface="lo", **options) as tx:  # type: ignore[arg-type]
        tx.send_many(payloads)


def send_as_read(port: int, payloads: list[bytes]) -> None:
    """Send datagrams of 1000 bytes only while there is room for them, so that none is dropped."""
    # The smallest usual receive buffer, 416 KiB, holds more of them.
    for first in range(0, len(payloads), 100):
        send(port, payloads[first : first + 100])
        until_read(port)


def flooding(port: int, **options: object) -> Callable[[threading.Event], None]:
    """Return a function that sends numbered datagrams until an event."""

    def flood(stop: threading.Event) -> None:
        with Sender(GROUP, port, interface="lo", **options) as tx:  # type: ignore[arg-type]
            first = 0
            while not stop.is_set():
                tx.send_many([n.to_bytes(4, "big") * 329 for n in range(first, first + 1000)])
                first += 1000

    return flood


def payloads_of(*paths: Path, was_killed: bool = False) -> list[bytes]:
    """Return what tshark finds in these files. The last block can be incomplete if the program was killed."""
    found: list[bytes] = []
    for path in paths:
        words = ["tshark", "-r", os.fspath(path), "-T", "fields", "-e", "udp.payload"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        is_cut = was_killed and path == paths[-1] and "cut short in the middle of a packet" in done.stderr
        assert done.returncode == (2 if is_cut else 0), done.stderr
        found += [bytes.fromhex(line) for line in done.stdout.splitlines()]
    return found


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
        "read": 500,
        "written": 500,
        "bytes": 50_000,
        "file_bytes": path.stat().st_size,
        "files": 1,
        "over_rate": 0,
        "after_limit": 0,
        "unwritten": 0,
        "lost_here": 0,
        "kernel_drops": 0,
        "ring_drops": 0,
        "filtered": 0,
        "invalid": 0,
        "unassembled": 0,
        "duration_s": summary["duration_s"],
    }
    assert payloads_of(path) == payloads


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_record_ends_with_a_summary_after_a_signal(
    number: signal.Signals, code: int, tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    path = tmp_path / "feed.pcapng"
    with recording(path, free_port) as program:
        program.until_joined(GROUP)
        send(free_port, [b"one", b"two"])
        program.interrupt(number)
        assert program.finish() == code
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
        send_as_read(free_port, payloads[:10_000])
        until(lambda: path.stat().st_size > 9_000_000 or None, "most of the file")
        send_as_read(free_port, payloads[10_000:])
        program.interrupt(signal.SIGKILL)
        assert program.finish() == -signal.SIGKILL
    found = payloads_of(path, was_killed=True)
    assert len(found) >= 9_000
    assert found == payloads[: len(found)]


@pytest.mark.alone
def test_record_that_is_killed_during_a_feed_lacks_at_most_the_last_second(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    path = tmp_path / "feed.pcapng"
    sent_by: list[float] = []

    def feed(stop: threading.Event) -> None:
        # So slow that the buffer is not full within the test.
        with Sender(GROUP, free_port, interface="lo", rate=2000.0) as tx:
            while not stop.is_set():
                first = 100 * len(sent_by)
                tx.send_many([n.to_bytes(4, "big") * 25 for n in range(first, first + 100)])
                sent_by.append(time.monotonic())

    with recording(path, free_port) as program:
        program.until_joined(GROUP)
        with background.running(feed):
            until(lambda: len(sent_by) >= 50 or None, "two and a half seconds of the feed")
            before = time.monotonic() - 1.0
            program.interrupt(signal.SIGKILL)
            assert program.finish() == -signal.SIGKILL
    found = [int.from_bytes(payload[:4], "big") for payload in payloads_of(path)]
    assert found == list(range(len(found)))
    assert len(found) >= 100 * sum(at < before for at in sent_by) > 1000


@pytest.mark.alone
def test_record_that_rotates_by_time_at_a_high_rate_accounts_for_every_datagram(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    words = ["--rotate-time", "0.2", "--recv-buffer", "67108864", "--timeout", "2", "--json"]
    with recording(tmp_path / "feed.pcapng", free_port, *words) as program:
        program.until_joined(GROUP)
        send(free_port, [n.to_bytes(4, "big") * 25 for n in range(50_000)], rate=50_000.0)
        assert program.finish() == 0
    summary = json.loads(program.out.splitlines()[-1])
    assert summary["written"] == summary["read"] == 50_000 - summary["lost_here"] > 40_000
    files = sorted(tmp_path.iterdir())
    assert len(files) == summary["files"] >= 4
    found = [int.from_bytes(payload[:4], "big") for payload in payloads_of(*files)]
    assert len(found) == summary["written"]
    assert all(before < after for before, after in itertools.pairwise(found))


def test_record_rotates_and_loses_nothing_between_files(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    payloads = [n.to_bytes(4, "big") * 250 for n in range(5000)]
    with recording(tmp_path / "feed.pcapng", free_port, "-c", "5000", "--rotate-size", "1M") as program:
        program.until_joined(GROUP)
        send_as_read(free_port, payloads)
        assert program.finish() == 0
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"feed-0000{n}.pcapng" for n in range(1, 7)]
    assert payloads_of(*files) == payloads


def test_record_that_is_killed_while_it_rotates_leaves_readable_files(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    tool("tshark")
    words = ["--rotate-size", "1M", "--max-files", "4", "--recv-buffer", "67108864"]

    with recording(tmp_path / "feed.pcapng", free_port, *words) as program:
        program.until_joined(GROUP)
        with background.running(flooding(free_port)):
            # Each file exists for a moment only.
            until(lambda: any(path.stem >= "feed-00020" for path in tmp_path.iterdir()), "twenty files")
            program.interrupt(signal.SIGKILL)
            assert program.finish() == -signal.SIGKILL
    files = sorted(tmp_path.iterdir())
    # The oldest one may not have been removed yet.
    assert len(files) in {4, 5}
    found = [int.from_bytes(payload[:4], "big") for payload in payloads_of(*files, was_killed=True)]
    assert len(found) > 2000
    assert all(before < after for before, after in itertools.pairwise(found))


_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=32m tmpfs disk
"$@"
code=$?
cp disk/* .
exit $code
"""


@pytest.mark.parametrize("rotation", [[], ["--rotate-size", "5M"]], ids=["one", "rotated"])
def test_record_on_a_disk_that_fills_up_at_full_rate_accounts_for_every_datagram(
    rotation: list[str], tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    words = ["record", f"{GROUP}:{free_port}%lo", "-o", "disk/feed.pcapng", "--json", *rotation]
    command = ["unshare", "-m", "bash", "-c", _ON_A_SMALL_DISK, "bash", *MULTICAST, *words]
    with Program(command, cwd=tmp_path) as program:
        program.until_joined(GROUP)
        with background.running(flooding(free_port, rate=200_000.0)):
            code = program.finish()
    assert code not in {0, 70}
    # Other lines warn of drops.
    (error,) = (line for line in program.err.splitlines() if "cannot" in line)
    summary = json.loads(program.out)
    assert re.search(r"cannot (write|create) disk/feed\S*: No space left on device \(", error)
    assert f"{summary['unwritten']} received datagrams were not written; free some space" in error
    assert summary["read"] == summary["written"] + summary["unwritten"]
    assert summary["unwritten"] > 0
    found = [int.from_bytes(one[:4], "big") for one in payloads_of(*sorted(tmp_path.glob("feed*")))]
    assert len(found) == summary["written"] > 20_000
    assert summary["bytes"] == 1316 * len(found)
    assert all(before < after for before, after in itertools.pairwise(found))
    subprocess.run([tool("capinfos"), *tmp_path.glob("feed*")], check=True, capture_output=True)


def test_record_goes_on_if_an_old_file_was_moved_away(free_port: int, tmp_path: Path) -> None:
    words = ["--rotate-size", "10k", "--max-files", "2", "-c", "400", "--json"]
    with recording(tmp_path / "feed.pcapng", free_port, *words) as program:
        until(lambda: "recording to" in program.err or None, "the first file")
        (tmp_path / "feed-00001.pcapng").rename(tmp_path / "moved.pcapng")
        send_as_read(free_port, [b"x" * 1000] * 400)
        assert program.finish() == 0, program.err
    summary = json.loads(program.out)
    assert summary["written"] == 400
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"moved.pcapng", *(f"feed-{summary['files'] - n:05}.pcapng" for n in range(2))}


def test_record_ends_at_the_maximum_size_and_counts_the_rest(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcapng"
    with recording(path, free_port, "--max-size", "10k", "--json") as program:
        program.until_joined(GROUP)
        send(free_port, [b"x" * 100] * 200)
        assert program.finish() == 0
    summary = json.loads(program.out.splitlines()[-1])
    assert path.stat().st_size < 10_500
    assert 50 < summary["written"] < 70
    assert summary["written"] + summary["after_limit"] == summary["read"]


def test_record_without_a_datagram_exits_with_70(free_port: int, tmp_path: Path) -> None:
    done = run("record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(tmp_path / "feed.pcapng"), "-d", "0.2")
    assert done.returncode == 70
    assert (tmp_path / "feed.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_record_to_a_pipe_without_a_reader_ends_at_a_signal(
    number: signal.Signals, free_port: int, tmp_path: Path
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with recording(path, free_port, "--overwrite") as program:
        until(lambda: program.wait_channel() == "wait_for_partner" or None, "the wait for a reader")
        program.interrupt(number)
        assert program.finish() == 128 + number
    assert not program.err


def test_record_to_a_pipe_writes_what_arrives(
    tool: Callable[[str], str], free_port: int, tmp_path: Path
) -> None:
    path, copy = tmp_path / "pipe", tmp_path / "feed.pcapng"
    os.mkfifo(path)
    tool("tshark")
    with (
        recording(path, free_port, "--overwrite", "-c", "20") as program,
        subprocess.Popen(["cp", path, copy]) as reader,
    ):
        program.until_joined(GROUP)
        send(free_port, [b"x" * 100] * 20)
        assert program.finish() == 0, program.err
        assert reader.wait(10) == 0
    assert payloads_of(copy) == [b"x" * 100] * 20


@pytest.mark.parametrize("name", ["", "-"])
def test_record_without_a_name_of_a_file_is_a_usage_error(name: str, free_port: int) -> None:
    done = run("record", f"{GROUP}:{free_port}%lo", "-o", name)
    assert done.returncode == 2
    assert f"argument -o/--output: must be the name of a file, got {name!r} (".encode() in done.stderr


def test_record_refuses_an_existing_file(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "feed.pcapng"
    path.write_bytes(b"precious")
    done = run("record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(path))
    assert done.returncode != 0
    assert b"cannot create " in done.stderr
    assert b"(choose another name, or overwrite it)" in done.stderr
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("option", [[], ["--overwrite"]])
def test_record_to_a_directory_is_an_error_that_offers_no_overwriting(
    option: list[str], free_port: int, tmp_path: Path
) -> None:
    done = run("record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(tmp_path), "-d", "0.1", *option)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1] == (
        f"multicast record: cannot create {tmp_path}: Is a directory (name a file in it)"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["record", GROUP], "-o/--output"),
        (["record", GROUP, "-o", "x", "--max-files", "2"], "--max-files: needs --rotate-size"),
        (["record", GROUP, "-o", "x", "--max-size", "0"], "must be a number of bytes"),
    ],
)
def test_record_with_wrong_words_is_a_usage_error(words: list[str], message: str, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_record_shows_its_progress_at_a_terminal(free_port: int, tmp_path: Path) -> None:
    words = [*MULTICAST, "record", f"{GROUP}:{free_port}%lo", "-o", os.fspath(tmp_path / "x"), "-d", "1.6"]
    done = at_terminal(words)
    assert done.returncode == 70
    assert re.search(
        rb"\rrecorded 0 datagrams, \d+ bytes  \[#+ +\]   [67]\d%  0:0\d left\x1b\[K", done.stdout
    )
