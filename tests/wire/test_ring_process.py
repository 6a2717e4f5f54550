"""Test a receiver with a ring in a process that forks or gets signals."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import pytest

from multicast.exceptions import UnsupportedError
from multicast.sync import Receiver, Sender
from tests.support.background import running
from tests.wire.counters import settled
from tests.wire.exchange import LOOPBACK, PATIENCE, nothing_more
from tests.wire.test_fork import in_child

pytestmark = pytest.mark.platform("linux", "darwin")

CALLS: dict[str, Callable[[Receiver], object]] = {
    "recv": lambda rx: rx.recv(),
    "recv_batch": lambda rx: rx.recv_batch(),
    "iteration": next,
    "join": lambda rx: rx.join("239.9.8.100", LOOPBACK.interface),
    "leave": lambda rx: rx.leave(LOOPBACK.group),
    "stats": lambda rx: rx.stats(),
    "groups": lambda rx: rx.groups,
    "pending": lambda rx: rx.pending,
    "fileno": lambda rx: rx.fileno(),
    "detach": lambda rx: rx.detach(),
}


@contextmanager
def flood(tx: Sender) -> Generator[None, None, None]:
    """Keep the thread of the ring busy, so that a fork can happen at any point of it."""

    def send(stop: threading.Event) -> None:
        while not stop.is_set():
            tx.send_many([bytes(100)] * 100)

    with running(send):
        yield


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_ring_in_forked_child_raises_unsupported_error(call: Callable[[Receiver], object]) -> None:
    with LOOPBACK.pair(ring=100) as (tx, rx):
        tx.send(b"for the parent")
        settled(rx, 1)

        def use() -> None:
            with pytest.raises(UnsupportedError, match="open a new receiver here"):
                call(rx)
            assert not rx.closed
            assert "inherited" in repr(rx)
            assert rx.port == tx.port
            rx.close()
            rx.close()
            assert rx.closed

        assert in_child(use) == 0
        assert rx.recv(timeout=0).data == b"for the parent"
        nothing_more(rx, tx)


def test_ring_opened_in_child_of_busy_parent_receives() -> None:
    with LOOPBACK.pair(ring=100) as (tx, rx), LOOPBACK.receiver(ring=10) as other:

        def refused(inherited: Receiver) -> None:
            with pytest.raises(UnsupportedError):
                inherited.recv(timeout=0)

        def own_one() -> None:
            refused(rx)
            with LOOPBACK.pair(ring=100) as (own_tx, own):
                own_tx.send(b"its own")
                assert own.recv(timeout=PATIENCE).data == b"its own"
                assert own.stats().received == 1
                # A grandchild is one more fork away from the ring of the parent.
                assert in_child(lambda: refused(own)) == 0
            other.close()

        with flood(tx):
            for _ in range(20):
                assert in_child(own_one) == 0
        assert not other.closed
        other.close()


def test_ring_inherited_by_child_is_freed() -> None:
    rx = LOOPBACK.receiver(ring=100)
    holder = [rx]
    del rx

    def forget() -> None:
        # Freeing it must not join or detach a thread: it could be the one of the child's own ring.
        with LOOPBACK.receiver(ring=10) as own:
            holder.clear()
            own.close()

    assert in_child(forget) == 0
    holder[0].close()


class InterruptedHereError(Exception):
    """The error that the handler raises."""


@pytest.mark.alone
@pytest.mark.parametrize("wait", ["recv", "recv_batch", "__next__"])
def test_ring_signal_handler_runs_during_a_wait(wait: str) -> None:
    handled_in: list[threading.Thread] = []

    def handler(number: int, frame: FrameType | None) -> None:
        handled_in.append(threading.current_thread())
        raise InterruptedHereError

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with LOOPBACK.receiver(ring=10) as rx:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            start = time.monotonic()
            with pytest.raises(InterruptedHereError):
                getattr(rx, wait)()
            # Without the signal, the wait would never end.
            assert time.monotonic() - start < 1.0
    finally:
        signal.signal(signal.SIGALRM, before)
    assert handled_in == [threading.main_thread()]


def test_ring_300_signals_lose_nothing() -> None:
    seen = 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with LOOPBACK.pair(ring=10_000) as (tx, rx):
            for number in range(300):
                tx.send(number.to_bytes(2, "big"))
                os.kill(os.getpid(), signal.SIGUSR1)
            heard = [rx.recv(timeout=PATIENCE).data for _ in range(300)]
            assert heard == [number.to_bytes(2, "big") for number in range(300)]
            assert seen == 300
    finally:
        signal.signal(signal.SIGUSR1, before)
