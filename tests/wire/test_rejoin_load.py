"""Test that a receiver that rejoins a hundred times a second accounts for every datagram at 100,000 a second.

`MULTICAST_FULL_LOAD=1` sends for ten seconds. Without it, for one.
"""

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from logging.handlers import BufferingHandler

import pytest

from multicast.sync import Receiver
from tests.support import sandbox
from tests.support.background import running
from tests.support.private_network import ROOT
from tests.wire.exchange import PATIENCE
from tests.wire.faults import no_new_descriptors

pytestmark = [pytest.mark.alone, pytest.mark.private_net, pytest.mark.platform("linux")]

SECONDS = 10 if os.environ.get("MULTICAST_FULL_LOAD") == "1" else 1
RATE = 100_000
ROUTES = 5000
REJOIN = 0.01
GROUPS = ["239.9.9.9", "ff15::9:9"]

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
    """Change the interface that is used, so that there is something to heal."""
    commands = "ip addr add 10.67.0.1/32 dev veth0; ip addr del 10.67.0.1/32 dev veth0"
    script = f"while read -t 0.01; [ $? -gt 128 ]; do {commands}; done"
    with subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def healing_without_descriptors() -> Generator[None, None, None]:
    with addresses_that_come_and_go(), no_new_descriptors():
        yield


TROUBLES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "nothing else": nullcontext,
    "unrelated routes": routes_that_come_and_go,
    "no descriptors": healing_without_descriptors,
}
SANDBOXES: dict[str, Callable[[], None]] = {
    "no netlink": sandbox.forbid_netlink,
    "requests forbidden": lambda: sandbox.forbid_requests(errno.EACCES),
    "requests failing": lambda: sandbox.forbid_requests(errno.ENOBUFS),
}
"""Ways to refuse netlink: no routing socket can be opened, or none answers. If requests fail, so does every repair."""


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("group", GROUPS)
def test_rejoin_at_100000_a_second_accounts_for_every_datagram(group: str, trouble: str) -> None:
    account(group, TROUBLES[trouble])


@pytest.mark.parametrize("forbidden", SANDBOXES)
@pytest.mark.parametrize("group", GROUPS)
def test_rejoin_in_a_sandbox_accounts_for_every_datagram(group: str, forbidden: str) -> None:
    # A process cannot leave a sandbox, so this one is separate.
    program = (
        f"from tests.wire import test_rejoin_load as load; load.account_in_sandbox({group!r}, {forbidden!r})"
    )
    with addresses_that_come_and_go():
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


def account_in_sandbox(group: str, forbidden: str) -> None:
    log = BufferingHandler(capacity=10_000)
    logging.getLogger("multicast").addHandler(log)
    if forbidden == "no netlink":
        SANDBOXES[forbidden]()
        account(group, nullcontext)
    else:
        account(group, lambda: entered(SANDBOXES[forbidden]))
    messages = [record.getMessage() for record in log.buffer]
    failed = any("cannot list the interfaces" in message for message in messages)
    assert failed == (forbidden == "requests failing"), messages


@contextmanager
def entered(enter: Callable[[], None]) -> Generator[None, None, None]:
    enter()
    yield


def account(group: str, trouble: Callable[[], AbstractContextManager[None]]) -> None:
    """Receive what another process sends while there is trouble, and check that every datagram is accounted for."""
    with (
        Receiver(group, 0, interface="veth0", rejoin=REJOIN, gro=False) as rx,
        sender(group, rx.port) as process,
    ):
        # The receiver keeps the interface open for the senders that it has heard.
        assert rx.recv(timeout=PATIENCE).data == b"first"
        assert process.stdin is not None
        assert process.stdout is not None
        with trouble():
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
