"""Test that a receiver that rejoins a hundred times a second accounts for every datagram at 100,000 a second.

`MULTICAST_FULL_LOAD=1` sends for ten seconds. Without it, for one.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from multicast.sync import Receiver
from tests.support.background import running
from tests.wire.exchange import PATIENCE
from tests.wire.faults import no_new_descriptors

pytestmark = [pytest.mark.alone, pytest.mark.private_net, pytest.mark.platform("linux")]

SECONDS = 10 if os.environ.get("MULTICAST_FULL_LOAD") == "1" else 1
RATE = 100_000
ROUTES = 5000
REJOIN = 0.01

SENDER = """
import sys
from multicast.sync import Sender
group, port, rate, count = sys.argv[1], *map(int, sys.argv[2:])
with Sender(group, port, interface="veth0", rate=rate, gso=False) as tx:
    tx.send(b"first")
    sys.stdin.readline()
    print(tx.send_many(b"%d" % number for number in range(count)))
"""


@contextmanager
def sender(group: str, port: int) -> Generator[subprocess.Popen[str], None, None]:
    """Start a process that sends one datagram at once, and the others on a line of standard input."""
    command = [sys.executable, "-c", SENDER, group, str(port), str(RATE), str(RATE * SECONDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def routes_that_come_and_go() -> Generator[None, None, None]:
    """Add and remove routes that concern no group, again and again."""
    commands = "".join(
        f"route {verb} unreachable 198.18.{n // 250}.{n % 250}/32\n"
        for verb in ("add", "del")
        for n in range(ROUTES)
    )

    def change(ended: threading.Event) -> None:
        while not ended.is_set():
            subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True)

    with running(change):
        yield


@contextmanager
def addresses_that_come_and_go() -> Generator[None, None, None]:
    """Change the interface that is used, so that there is something to heal, and let no descriptor be opened for it."""
    commands = "ip addr add 10.67.0.1/32 dev veth0; ip addr del 10.67.0.1/32 dev veth0"
    script = f"while read -t 0.01; [ $? -gt 128 ]; do {commands}; done"
    with subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE) as process, no_new_descriptors():
        try:
            yield
        finally:
            process.terminate()


TROUBLES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "nothing else": nullcontext,
    "unrelated routes": routes_that_come_and_go,
    "no descriptors": addresses_that_come_and_go,
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_rejoin_at_100000_a_second_accounts_for_every_datagram(group: str, trouble: str) -> None:
    with (
        Receiver(group, 0, interface="veth0", rejoin=REJOIN, gro=False) as rx,
        sender(group, rx.port) as process,
    ):
        # The receiver keeps the interface open for the senders that it has heard.
        assert rx.recv(timeout=PATIENCE).data == b"first"
        assert process.stdin is not None
        assert process.stdout is not None
        with TROUBLES[trouble]():
            process.stdin.write("\n")
            process.stdin.flush()
            received = drain(rx, RATE * SECONDS)
        assert int(process.stdout.readline()) == RATE * SECONDS
        stats = rx.stats()
        assert received + (stats.kernel_drops or 0) == RATE * SECONDS
        assert stats.rejoins > 10 * SECONDS


def drain(rx: Receiver, count: int) -> int:
    """Receive until ``count`` datagrams were received or counted as dropped. Return how many were received."""
    received = 0
    while received + (rx.stats().kernel_drops or 0) < count:
        try:
            received += len(rx.recv_batch(timeout=PATIENCE))
        except TimeoutError:
            break
    return received
