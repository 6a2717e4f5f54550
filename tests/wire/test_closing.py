"""Test ``close()``: at any time, from any thread, more than once; and a closed object."""

import contextlib
import errno
import select
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multicast.exceptions import ClosedError
from multicast.sync import Receiver, Sender
from tests.support import leaks, waiting
from tests.wire.exchange import LOOPBACK, PATIENCE, until_in_poll

AT_ONCE = 0.5
"""Seconds within which a blocked call must end after a close."""


class Blocked:
    """A thread that blocks in a call, and the result or the error of the call."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.error: Exception | None = None
        self.ended_at = 0.0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        try:
            self.result = self.call()
        except Exception as error:  # noqa: BLE001 - the test examines it
            self.error = error
        self.ended_at = time.monotonic()

    def until_asleep(self) -> None:
        until_in_poll(f"/proc/self/task/{self.thread.native_id}")

    def join(self) -> None:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "still blocked"


RECEIVES: dict[str, Callable[[Receiver], Any]] = {
    "recv": lambda rx: rx.recv(),
    "recv with a timeout": lambda rx: rx.recv(timeout=PATIENCE),
    "recv_batch": lambda rx: rx.recv_batch(),
    "recv_batch with linger": lambda rx: rx.recv_batch(linger=0.1),
}
ITERATIONS: dict[str, Callable[[Receiver], Iterator[object]]] = {
    "datagrams": iter,
    "batches": lambda rx: rx.batches(),
    "batches with a timeout": lambda rx: rx.batches(timeout=PATIENCE),
    "batches with linger": lambda rx: rx.batches(linger=0.1),
}


@pytest.mark.platform("linux")
@pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES.keys())
@pytest.mark.parametrize("readers", [1, 4])
def test_close_blocked_readers_get_closed_error_at_once(
    receive: Callable[[Receiver], Any], readers: int
) -> None:
    with LOOPBACK.receiver() as rx:
        blocked = [Blocked(lambda: receive(rx)) for _ in range(readers)]
        for reader in blocked:
            reader.until_asleep()
        closed_at = time.monotonic()
        rx.close()
        for reader in blocked:
            reader.join()
            assert type(reader.error) is ClosedError
            assert reader.error.errno == errno.EBADF
            assert str(reader.error) == f"[Errno {errno.EBADF}] the receiver on port {rx.port} is closed"
            assert reader.ended_at - closed_at < AT_ONCE


@pytest.mark.platform("linux")
@pytest.mark.parametrize("iterate", ITERATIONS.values(), ids=ITERATIONS.keys())
def test_close_blocked_iteration_ends_at_once(iterate: Callable[[Receiver], Iterator[object]]) -> None:
    with LOOPBACK.receiver() as rx:
        blocked = Blocked(lambda: list(iterate(rx)))
        blocked.until_asleep()
        closed_at = time.monotonic()
        rx.close()
        blocked.join()
        assert (blocked.result, blocked.error) == ([], None)
        assert blocked.ended_at - closed_at < AT_ONCE


@pytest.mark.parametrize("iterate", ITERATIONS.values(), ids=ITERATIONS.keys())
def test_close_inside_iteration_ends_it(iterate: Callable[[Receiver], Iterator[object]]) -> None:
    with LOOPBACK.pair() as (tx, rx):
        tx.send_many([b"one", b"two"])
        taken: list[object] = []
        for one in iterate(rx):
            taken.append(one)
            rx.close()
        assert len(taken) == 1
        assert list(iterate(rx)) == []


def test_batches_without_datagram_raises_timeout_error() -> None:
    with LOOPBACK.receiver() as rx, pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        next(rx.batches(timeout=0.01))


def test_close_reader_of_many_sockets_is_woken() -> None:
    groups = [f"239.9.8.{number}" for number in range(1, 60)]
    with Receiver(groups, 0, interface=LOOPBACK.interface) as rx:
        reader = Blocked(rx.recv)
        rx.close()
        reader.join()
        assert isinstance(reader.error, ClosedError)


def test_close_during_flood_ends_the_reader() -> None:
    with LOOPBACK.pair() as (tx, rx):
        stop = threading.Event()

        def flood() -> None:
            while not stop.is_set():
                tx.send_many([b"x"] * 100)

        def drain() -> None:
            for _ in rx:
                pass

        flooding, reader = Blocked(flood), Blocked(drain)
        waiting.until(lambda: rx.stats().received > 1000, "the flood")
        rx.close()
        reader.join()
        stop.set()
        flooding.join()
        assert reader.error is None
        assert flooding.error is None


CLOSED_RECEIVER: dict[str, Callable[[Receiver], Any]] = {
    **RECEIVES,
    "recv of what is there": lambda rx: rx.recv(timeout=0),
    "join": lambda rx: rx.join("239.9.8.8", LOOPBACK.interface),
    "leave": lambda rx: rx.leave(LOOPBACK.group),
    "fileno": lambda rx: rx.fileno(),
    "detach": lambda rx: rx.detach(),
    "select": lambda rx: select.select([rx], [], [], 0),
}
CLOSED_SENDER: dict[str, Callable[[Sender], Any]] = {
    "send": lambda tx: tx.send(b"x"),
    "send_many": lambda tx: tx.send_many([b"x"]),
    "fileno": lambda tx: tx.fileno(),
}


@pytest.mark.parametrize("use", CLOSED_RECEIVER.values(), ids=CLOSED_RECEIVER.keys())
def test_closed_receiver_any_use_raises_closed_error(use: Callable[[Receiver], Any]) -> None:
    with LOOPBACK.pair() as (tx, rx):
        tx.send(b"never read")
        rx.close()
        with pytest.raises(ClosedError, match=f"the receiver on port {rx.port} is closed") as caught:
            use(rx)
        assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("use", CLOSED_SENDER.values(), ids=CLOSED_SENDER.keys())
def test_closed_sender_any_use_raises_closed_error(use: Callable[[Sender], Any]) -> None:
    with LOOPBACK.sender(5000) as tx:
        tx.close()
        with pytest.raises(ClosedError, match=r"the sender to 239\.9\.8\.7:5000 on lo is closed") as caught:
            use(tx)
        assert caught.value.errno == errno.EBADF


def test_closed_object_still_has_port_stats_and_repr() -> None:
    with LOOPBACK.pair() as (tx, rx):
        tx.send_many([b"one", b"four"])
        rx.recv(timeout=PATIENCE)
        port, rx_stats, tx_stats = rx.port, rx.stats(), tx.stats()
        rx.close()
        tx.close()
        assert (rx.closed, rx.port, rx.stats(), rx.groups, rx.pending) == (True, port, rx_stats, (), 0)
        assert (tx.closed, tx.port, tx.group, tx.stats()) == (True, port, LOOPBACK.group, tx_stats)
        assert repr(rx) == f"<Receiver on port {port}: closed>"
        assert repr(tx) == f"<Sender to {LOOPBACK.group}:{port}, closed>"


def test_open_object_repr_shows_port_and_group() -> None:
    with LOOPBACK.pair() as (tx, rx):
        assert (rx.closed, tx.closed) == (False, False)
        assert repr(rx) == f"<Receiver on port {rx.port}: {LOOPBACK.group}>"
        assert repr(tx) == f"<Sender to {LOOPBACK.group}:{rx.port}>"
        rx.leave(LOOPBACK.group)
        assert repr(rx) == f"<Receiver on port {rx.port}: nothing>"


def opened() -> Iterator[Receiver | Sender]:
    yield LOOPBACK.receiver()
    yield Receiver([f"239.9.8.{number}" for number in range(1, 60)], 0, interface=LOOPBACK.interface)
    yield LOOPBACK.sender(5000)


def test_close_called_again_is_accepted() -> None:
    for one in opened():
        for _ in range(3):
            one.close()
        assert one.closed
        with pytest.raises(ClosedError):
            one.fileno()


def test_with_statement_closes_on_an_error() -> None:
    for one in opened():
        with contextlib.suppress(LookupError), one as same:
            assert same is one
            raise LookupError
        assert one.closed


def test_with_statement_closed_inside_ends_without_error() -> None:
    for one in opened():
        with one:
            one.close()


def test_close_from_8_threads_at_once_is_accepted() -> None:
    for one in opened():
        together = threading.Barrier(8)

        def close(one: Receiver | Sender = one, together: threading.Barrier = together) -> None:
            together.wait(PATIENCE)
            one.close()

        closing = [Blocked(close) for _ in range(8)]
        for thread in closing:
            thread.join()
            assert thread.error is None
        assert one.closed


@pytest.mark.platform("linux")
def test_closed_object_holds_no_descriptor() -> None:
    before = leaks.take()
    closed = list(opened())
    for one in closed:
        one.close()
    # The objects are still referenced here, but must hold nothing.
    assert leaks.left_since(before) == []


@pytest.mark.platform("linux")
def test_opening_1000_times_leaves_nothing_open() -> None:
    before = leaks.take()
    for _ in range(1000):
        with LOOPBACK.pair() as (tx, rx):
            tx.send(b"x")
            assert rx.recv(timeout=PATIENCE).data == b"x"
    assert leaks.left_since(before) == []


@pytest.mark.platform("linux")
def test_unclosed_object_is_closed_with_warning_when_collected() -> None:
    before = leaks.take()
    held = list(opened())
    while held:
        seen = weakref.ref(held[-1])
        with pytest.warns(ResourceWarning, match=f"unclosed <{type(held[-1]).__name__} "):
            held.pop()
        assert seen() is None
    assert leaks.left_since(before) == []


def test_fileno_can_be_waited_on() -> None:
    with LOOPBACK.pair() as (tx, rx):
        assert rx.fileno() != tx.fileno()
        assert select.select([rx], [], [], 0) == ([], [], [])
        assert select.select([], [tx], [], 0) == ([], [tx], [])
        tx.send_many([b"one", b"two", b"three"])
        assert select.select([rx], [], [], PATIENCE) == ([rx], [], [])
        assert rx.recv(timeout=0).data == b"one"
        # The rest is pending in the receiver, where the descriptor does not show it.
        assert rx.pending == 2
        assert [rx.recv(timeout=0).data for _ in range(2)] == [b"two", b"three"]
        assert rx.pending == 0
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        assert select.select([rx], [], [], 0) == ([], [], [])
