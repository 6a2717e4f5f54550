"""Helpers of the wire tests: links to send over, and every way to send and to receive. No tests."""

import itertools
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from multicast._core import Datagram
from multicast.sync import Receiver, Sender
from tests.support import waiting

PATIENCE = 10.0
"""Seconds to wait for something that must arrive: far more than it ever takes."""


@dataclass(frozen=True)
class Link:
    """A group on an interface, the largest payload of a datagram there, and perhaps the engine of its receivers."""

    group: str
    interface: str
    largest: int
    engine: Literal["packet"] | None = None

    def receiver(self, port: int = 0, **options: Any) -> Receiver:
        return self.receiver_of(self.group, port, **options)

    def receiver_of(self, groups: str | list[str], port: int = 0, **options: Any) -> Receiver:
        """Open a receiver of these groups."""
        engine = {"engine": self.engine} if self.engine else {}
        settings: dict[str, Any] = {"interface": self.interface, **engine, **options}
        return Receiver(groups, port, **settings)

    def sender(self, port: int, **options: Any) -> Sender:
        return Sender(self.group, port, interface=self.interface, **options)

    @contextmanager
    def pair(
        self, tx_options: dict[str, Any] | None = None, **rx_options: Any
    ) -> Generator[tuple[Sender, Receiver], None, None]:
        """Open a sender and a receiver of the group on a free port."""
        with self.receiver(**rx_options) as rx, self.sender(rx.port, **(tx_options or {})) as tx:
            yield tx, rx


LOOPBACK = Link("239.9.8.7", "127.0.0.1", 65_507)
"""The link that exists on any system, inside the private network or not."""


def send_singly(tx: Sender, messages: Iterable[bytes]) -> None:
    for message in messages:
        assert tx.send(message) == len(message)


def send_at_once(tx: Sender, messages: Iterable[bytes]) -> None:
    messages = list(messages)
    assert tx.send_many(messages) == len(messages)


def take_singly(rx: Receiver, count: int) -> list[Datagram]:
    return [rx.recv(timeout=PATIENCE) for _ in range(count)]


def take_batches(rx: Receiver, count: int) -> list[Datagram]:
    taken: list[Datagram] = []
    while len(taken) < count:
        batch = rx.recv_batch(limit=count - len(taken), timeout=PATIENCE)
        assert 0 < len(batch) <= count - len(taken)
        taken += batch
    return taken


def take_by_iteration(rx: Receiver, count: int) -> list[Datagram]:
    return list(itertools.islice(rx, count))


Send = Callable[[Sender, Iterable[bytes]], None]
Take = Callable[[Receiver, int], list[Datagram]]
SENDS: list[Send] = [send_singly, send_at_once]
TAKES: list[Take] = [take_singly, take_batches, take_by_iteration]


def name(function: Callable[..., object]) -> str:
    """Return the test id of a function that is a parameter."""
    return function.__name__


def nothing_more(rx: Receiver, tx: Sender, mark: bytes = b"the end") -> None:
    """Assert that the next datagram of ``rx`` is the one that ``tx`` sends now.

    No wait is needed: on one machine, datagrams are delivered in the order in which they are sent.
    """
    tx.send(mark)
    assert rx.recv(timeout=PATIENCE).data == mark


# The system call numbers of poll on x86-64 and of ppoll on x86-64 and arm64.
_POLLS = {"7", "271", "73"}


def until_in_poll(task: str) -> None:
    """Wait until a process or thread, given by its folder in ``/proc``, sleeps in poll (Linux)."""
    waiting.until(
        lambda: (Path(task) / "syscall").read_text().split()[0] in _POLLS, f"{task} to wait in poll"
    )
