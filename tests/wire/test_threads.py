"""Test one sender and one receiver shared by many threads: nothing is lost, duplicated or stuck.

`MULTICAST_FULL_LOAD=1` runs for a minute. Without it, for a second or two.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from multicast.exceptions import ClosedError
from multicast.sync import Receiver, Sender
from tests.wire.exchange import LOOPBACK, PATIENCE

THREADS = 8
FULL = os.environ.get("MULTICAST_FULL_LOAD") == "1"
AT_LEAST = 60.0 if FULL else 0.0
"""Seconds."""
ROUNDS = 6000
# Without a ring, with one for all datagrams in flight, and with one that is often full.
RINGS = pytest.mark.parametrize(
    ("ring", "policy"),
    [(None, "block"), (1000, "drop-oldest"), (5, "block")],
    ids=["plain", "ring", "small ring"],
)
# Datagrams in flight: as many of these short ones as the smallest receive buffer of any system holds.
AHEAD = 64


class Worker:
    """A thread that takes random steps and records what it sent and received."""

    def __init__(self, number: int, tx: Sender, rx: Receiver, room: threading.Semaphore) -> None:
        self.number = number
        self.draw = random.Random(number)
        self.tx, self.rx, self.room = tx, rx, room
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.error: BaseException | None = None
        self.steps = 0
        # Each worker joins and leaves a group of its own, so that workers do not interfere.
        self.group = f"239.9.5.{number + 1}"
        self.joined = False
        self.until = time.monotonic() + AT_LEAST
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        # Most steps send or receive.
        often = [self.send, self.send_many, self.recv, self.recv_batch] * 3
        steps: list[Callable[[], object]] = [*often, self.turn, self.look]
        try:
            while self.steps < ROUNDS or time.monotonic() < self.until:
                self.draw.choice(steps)()
                self.steps += 1
        except BaseException as error:  # noqa: BLE001 - passed to the thread that joins this one
            self.error = error

    def message(self) -> bytes:
        message = bytes([self.number]) + len(self.sent).to_bytes(4, "big")
        self.sent.append(message)
        return message

    def send(self) -> None:
        if self.room.acquire(blocking=False):
            self.tx.send(self.message())

    def send_many(self) -> None:
        many = 0
        while many < 5 and self.room.acquire(blocking=False):
            many += 1
        self.tx.send_many(self.message() for _ in range(many))

    def recv(self) -> None:
        try:
            self.keep([self.rx.recv(timeout=self.draw.choice([0, 0.001])).data])
        except TimeoutError:
            return

    def recv_batch(self) -> None:
        try:
            self.keep(self.rx.recv_batch(limit=self.draw.randint(1, 9), timeout=0).payloads())
        except TimeoutError:
            return

    def keep(self, payloads: list[bytes]) -> None:
        self.heard += payloads
        self.room.release(len(payloads))

    def turn(self) -> None:
        if self.joined:
            self.rx.leave(self.group)
        else:
            self.rx.join(self.group, LOOPBACK.interface)
        self.joined = not self.joined

    def look(self) -> None:
        stats, sent = self.rx.stats(), self.tx.stats()
        assert stats.received <= self.tx.stats().sent
        assert sent.sent >= len(self.sent)
        groups = [membership.group for membership in self.rx.groups]
        # Closing leaves all groups.
        assert self.rx.closed or self.joined == (self.group in groups)
        assert self.rx.pending >= 0


def run(workers: list[Worker]) -> None:
    for worker in workers:
        worker.thread.start()
    for worker in workers:
        while worker.thread.is_alive():
            # A busy machine may slow a worker down. It is stuck only if it takes no step.
            before = worker.steps
            worker.thread.join(PATIENCE)
            assert not worker.thread.is_alive() or worker.steps > before, "stuck"


@RINGS
# Counting the datagrams of a minute takes time, too.
@pytest.mark.timeout(120 + 2 * AT_LEAST)
def test_threads_random_calls_account_for_every_datagram(ring: int | None, policy: str) -> None:
    with LOOPBACK.pair(ring=ring, ring_policy=policy) as (tx, rx):
        room = threading.Semaphore(AHEAD)
        workers = [Worker(number, tx, rx, room) for number in range(THREADS)]
        run(workers)
        assert [worker.error for worker in workers if worker.error] == []
        sent = Counter(message for worker in workers for message in worker.sent)
        heard = Counter(payload for worker in workers for payload in worker.heard)
        while heard.total() < sent.total():
            heard.update(rx.recv_batch(timeout=PATIENCE).payloads())
        assert heard == sent
        stats = rx.stats()
        assert (stats.received, tx.stats().sent) == (sent.total(), sent.total())
        drops = (stats.kernel_drops or 0, stats.ring_drops)
        assert (*drops, stats.filtered, stats.truncated) == (0, 0, 0, 0)
        assert sorted(membership.group for membership in rx.groups) == sorted(
            [LOOPBACK.group, *(worker.group for worker in workers if worker.joined)]
        )


@RINGS
def test_threads_close_ends_every_thread(ring: int | None, policy: str) -> None:
    for attempt in range(10):
        with LOOPBACK.pair(ring=ring, ring_policy=policy) as (tx, rx):
            room = threading.Semaphore(AHEAD)
            workers = [Worker(number, tx, rx, room) for number in range(THREADS)]
            closer = threading.Timer(0.01 * attempt, rx.close)
            closer.start()
            run(workers)
            closer.join()
            # Workers that were not done got the error of the close and no other.
            assert {type(worker.error) for worker in workers if worker.error} <= {ClosedError}
            assert rx.closed
            heard = sum(len(worker.heard) for worker in workers)
            received = rx.stats().received
            # A ring counts what it did not deliver as dropped, exactly.
            assert received == heard if ring else received >= heard


@RINGS
def test_threads_several_readers_share_the_datagrams(ring: int | None, policy: str) -> None:
    with LOOPBACK.pair(ring=ring, ring_policy=policy) as (tx, rx):
        heard: list[bytes] = []
        done = threading.Event()

        def read() -> None:
            for datagram in rx:
                heard.append(datagram.data)
                if len(heard) == 400:
                    done.set()

        def until_closed() -> None:
            try:
                read()
            except ClosedError:
                return

        readers = [threading.Thread(target=until_closed) for _ in range(4)]
        for reader in readers:
            reader.start()
        messages = [number.to_bytes(2, "big") for number in range(400)]
        tx.send_many(messages)
        assert done.wait(PATIENCE)
        rx.close()
        for reader in readers:
            reader.join(PATIENCE)
            assert not reader.is_alive()
        assert sorted(heard) == messages
