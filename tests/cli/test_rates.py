"""High rates for a second: every datagram is in the output or counted as dropped."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from multicast import Sender
from tests.cli.running import GROUP, MULTICAST
from tests.support import joined, waiting
from tests.support.programs import environment
from tests.wire.frames import Wrapping

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux"), pytest.mark.alone]

BURST = 20


def flood(port: int, message: bytes, rate: int) -> int:
    """Send for a second, and return the number of datagrams."""
    with Sender(GROUP, port, interface="lo", rate=rate) as tx:
        tx.send_many([message] * rate)
        return tx.stats().sent


@contextmanager
def running(*words: str, out: "IO[bytes] | int") -> "Generator[subprocess.Popen[bytes]]":
    """Run a listener with its output in ``out`` during the block, which begins when it has joined the group."""
    with subprocess.Popen(
        [*MULTICAST, *words], env=environment(), stdout=out, stderr=subprocess.PIPE
    ) as process:
        try:
            joined.until_joined(GROUP, pid=process.pid)
            yield process
        finally:
            process.kill()


def count(pattern: str, text: str) -> list[int]:
    found = re.search(pattern, text)
    assert found, text
    return [int(number.replace(",", "")) for number in found.groups()]


def test_raw_gigabit_to_a_pipe_is_whole_or_counted(free_port: int) -> None:
    size = 1316
    with (
        running("listen", f"{GROUP}:{free_port}%lo", "--raw", "-t", "2", out=subprocess.PIPE) as listener,
        subprocess.Popen(["wc", "-c"], stdin=listener.stdout, stdout=subprocess.PIPE) as reader,
    ):
        sent = flood(free_port, bytes(size), 95_000)
        assert listener.stderr is not None
        summary = listener.stderr.read().decode()
        taken = int(reader.communicate(timeout=30)[0])
    received, written, dropped = count(
        r"received ([\d,]+) datagrams, ([\d,]+) bytes, dropped ([\d,]+) here", summary
    )
    assert taken == written == received * size
    assert received + dropped == sent


@pytest.mark.parametrize("words", [[], ["-v"], ["--json"]], ids=["text", "verbose", "json"])
def test_lines_to_a_file_are_whole_or_counted(words: list[str], free_port: int, tmp_path: Path) -> None:
    message = b"a line of 60 bytes ".ljust(59, b".") + b"\n"
    file = tmp_path / "lines"
    with (
        file.open("wb") as out,
        running("listen", f"{GROUP}:{free_port}%lo", *words, "-t", "2", out=out) as listener,
    ):
        sent = flood(free_port, message, 100_000)
        err = listener.communicate(timeout=50)[1].decode()
    lines = file.read_bytes().splitlines(keepends=True)
    if words == ["--json"]:
        summary = json.loads(lines.pop())
        dropped = summary["kernel_drops"] + summary["ring_drops"]
    else:
        (dropped,) = count(r"dropped ([\d,]+) here in", err)
    assert len(lines) + dropped == sent
    assert all(line.endswith(b"\n") and message[:-1] in line for line in lines)


def test_messages_of_hear_are_printed_or_counted(free_port: int, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    where = ["--port", str(free_port), "--iface", "127.0.0.1", "--group", GROUP]
    stops = 0
    with (
        file.open("wb") as out,
        running("--daemon", "--use-std", "HEAR", *where, "--no-reply", out=out) as listener,
    ):
        sent = flood(free_port, b"a message of 30 bytes".ljust(30, b"."), 100_000)

        def is_stopped() -> bool:
            nonlocal stops
            # It may be dropped like any other.
            stops += flood(free_port, b"STOP", 1)
            return listener.poll() is not None

        waiting.until(is_stopped, "the end of the listener", timeout=40)
        err = listener.communicate()[1].decode()
    *messages, last = file.read_bytes().splitlines()
    assert last == b"STOP"
    dropped = count(r"dropped ([\d,]+) of", err)[0] if err else 0
    assert 0 <= dropped - (sent - len(messages)) < stops


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def coalesced(groups: list[str], port: int, opened: ExitStack) -> Callable[[int], None]:
    """Return a function that sends a burst to a group, which the kernel coalesces."""
    senders = [opened.enter_context(Sender(group, port, interface="lo")) for group in groups]

    def send(at: int) -> None:
        senders[at].send_many([bytes(100)] * BURST)

    return send


def separate(groups: list[str], port: int, opened: ExitStack) -> Callable[[int], None]:
    """Return a function that sends a burst to a group as frames, which arrive one by one at veth0."""
    raw = opened.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    raw.bind(("veth1", 0))
    frames = [frame for group in groups for frame in Wrapping("192.0.2.77", group, port, bytes(100)).frames()]

    def send(at: int) -> None:
        for _ in range(BURST):
            raw.send(frames[at])

    return send


def counted(summary: dict[str, int]) -> int:
    return summary["received"] + summary["kernel_drops"] + summary["ring_drops"]


@pytest.mark.parametrize(
    ("sending", "interface", "engine"),
    [(coalesced, "lo", "socket"), (separate, "veth0", "socket"), (separate, "veth0", "packet")],
)
def test_top_with_200_groups_at_100000_a_second_needs_less_than_half_a_core(
    sending: Callable[[list[str], int, ExitStack], Callable[[int], None]],
    interface: str,
    engine: str,
    free_port: int,
    tmp_path: Path,
) -> None:
    groups = [*(f"239.4.9.{number}" for number in range(1, 200)), GROUP]
    words = ["top", *(f"{group}:{free_port}%{interface}" for group in groups), "--json", "--engine", engine]
    seconds, sent = 3.0, 0
    file, pause = tmp_path / "records", threading.Event()
    with ExitStack() as opened, file.open("wb") as out, running(*words, out=out) as top:
        send = sending(groups, free_port, opened)
        before, began = cpu_seconds(top.pid), time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < elapsed * 100_000:
                send(sent // BURST % len(groups))
                sent += BURST
            pause.wait(0.001)
        used = cpu_seconds(top.pid) - before

        def is_counted() -> bool:
            # The kernel can deliver frames a moment after they were sent.
            top.send_signal(signal.SIGUSR1)
            whole = file.read_bytes().rpartition(b"\n")[0].splitlines()
            interim = [line for line in whole if b'"type":"interim"' in line]
            return bool(interim) and counted(json.loads(interim[-1])) == sent

        waiting.until(is_counted, "all datagrams to be counted")
        top.send_signal(signal.SIGINT)
        top.communicate(timeout=30)
        assert top.returncode == 130
    *records, summary = map(json.loads, file.read_bytes().splitlines())
    streams = [record for record in records if record["type"] == "stream"]
    assert {stream["group"] for stream in streams if stream["received"]} == set(groups)
    assert counted(summary) == sent
    print(f"{sent / elapsed:,.0f} datagrams/s, {used / elapsed:.2f} cores")
    assert sent / elapsed > 30_000, "this machine was too busy to send 30,000 datagrams a second"
    # A higher rate does not cost more for each datagram.
    assert used / sent * 100_000 < 0.5
