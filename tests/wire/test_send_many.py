"""Test ``send_many``: what it accepts, in which order it sends, and how it waits for a full send buffer."""

import array
import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from multicast import ClosedError
from multicast.sync import Sender
from tests.support import waiting
from tests.wire.exchange import LOOPBACK, PATIENCE, Link, take_singly

MIXED = [b"one", b"", b"three" * 100, b"four", b"four", b"four"]

ITERABLES: dict[str, Callable[[list[bytes]], Iterable[Any]]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda messages: (message for message in messages),
    "iterator": iter,
    "bytearrays": lambda messages: [bytearray(message) for message in messages],
    "memoryviews": lambda messages: [memoryview(message) for message in messages],
    "every second byte of a view": lambda messages: [
        memoryview(bytes(byte for byte in message for _ in range(2)))[::2] for message in messages
    ],
    "arrays": lambda messages: [array.array("B", message) for message in messages],
    "numpy rows": lambda messages: [np.frombuffer(message, dtype=np.uint8) for message in messages],
}


@pytest.mark.parametrize("given", ITERABLES.values(), ids=ITERABLES.keys())
@pytest.mark.parametrize("gso", [True, False], ids=["gso", "no-gso"])
def test_send_many_any_iterable_of_buffers_is_sent(
    given: Callable[[list[bytes]], Iterable[Any]], gso: bool
) -> None:
    with LOOPBACK.pair({"gso": gso}) as (tx, rx):
        assert tx.send_many(given(MIXED)) == len(MIXED)
        assert [datagram.data for datagram in take_singly(rx, len(MIXED))] == MIXED


def test_send_many_wide_items_are_sent_as_in_memory() -> None:
    wide: Any = np.arange(6, dtype="<u4").reshape(2, 3)
    with LOOPBACK.pair() as (tx, rx):
        assert tx.send_many(wide) == 2
        assert tx.send(wide) == 24
        rows = [datagram.data for datagram in take_singly(rx, 3)]
        assert rows == [wide[0].tobytes(), wide[1].tobytes(), wide.tobytes()]


def test_send_many_empty_list_sends_nothing() -> None:
    with LOOPBACK.sender(5000) as tx:
        assert tx.send_many([]) == 0
        assert tx.stats().sent == 0


def test_send_many_generator_may_reuse_its_buffer() -> None:
    def messages() -> Iterator[bytearray]:
        buffer = bytearray(4)
        for number in range(100):
            buffer[:] = number.to_bytes(4, "big")
            yield buffer

    with LOOPBACK.pair() as (tx, rx):
        assert tx.send_many(messages()) == 100
        assert [int.from_bytes(one.data, "big") for one in take_singly(rx, 100)] == list(range(100))


def test_send_many_long_generator_is_sent_while_it_runs(link: Link) -> None:
    seen: list[int] = []
    with link.pair() as (tx, rx):

        def messages() -> Iterator[bytes]:
            for number in range(5000):
                # Receive what was sent so far, so that no buffer must hold all of it.
                while tx.stats().sent > len(seen):
                    seen.append(int.from_bytes(rx.recv(timeout=PATIENCE).data, "big"))
                yield number.to_bytes(4, "big")

        assert tx.send_many(messages()) == 5000
        seen += [int.from_bytes(one.data, "big") for one in take_singly(rx, 5000 - len(seen))]
    assert seen == list(range(5000))


def test_send_many_generator_may_use_the_sender() -> None:
    with LOOPBACK.pair() as (tx, rx):

        def messages() -> Iterator[bytes]:
            tx.send(b"first")
            yield b"second"

        tx.send_many(messages())
        assert [one.data for one in take_singly(rx, 2)] == [b"first", b"second"]


def test_send_many_wrong_message_sends_only_those_before_it() -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        (
            "text",
            TypeError,
            "data must be bytes or another buffer, got str; encode text first: data.encode()",
        ),
        (None, TypeError, "data must be bytes or another buffer, got NoneType"),
        (bytes(65_508), ValueError, "data must be at most 65507 bytes"),
    ]
    with LOOPBACK.pair() as (tx, rx):
        for message, error, part in wrong:
            with pytest.raises(error, match=part):
                tx.send_many([b"one", b"two", message, b"three"])
        assert tx.stats().sent == 2 * len(wrong)
        assert [rx.recv(timeout=PATIENCE).data for _ in range(2 * len(wrong))] == [b"one", b"two"] * len(
            wrong
        )
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)


def test_send_many_failing_generator_sends_what_it_yielded() -> None:
    def feed() -> Iterator[bytes]:
        yield from (b"one", b"two")
        raise LookupError("no more")

    with LOOPBACK.pair() as (tx, rx):
        with pytest.raises(LookupError, match="no more"):
            tx.send_many(feed())
        assert tx.stats().sent == 2
        assert [rx.recv(timeout=PATIENCE).data for _ in range(2)] == [b"one", b"two"]


@pytest.mark.platform("linux", "darwin")
def test_send_many_endless_iterable_is_ended_by_a_signal() -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError("enough")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with LOOPBACK.pair({"rate": 5000.0}) as (tx, _):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(InterruptedError, match="enough"):
                tx.send_many(itertools.repeat(b"again", 100_000))
            assert tx.stats().sent < 5000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_send_many_from_8_threads_loses_nothing() -> None:
    with LOOPBACK.pair() as (tx, rx):
        numbers = range(400)

        def send(sender: int) -> None:
            for start in range(0, len(numbers), 40):
                tx.send_many([bytes([sender]) + n.to_bytes(2, "big") for n in numbers[start : start + 40]])

        threads = [threading.Thread(target=send, args=[sender]) for sender in range(8)]
        for thread in threads:
            thread.start()
        heard: dict[int, list[int]] = {sender: [] for sender in range(8)}
        for one in take_singly(rx, 8 * len(numbers)):
            heard[one.data[0]].append(int.from_bytes(one.data[1:], "big"))
        for thread in threads:
            thread.join()
        # The messages of each thread are in order, with others between them.
        assert heard == {sender: list(numbers) for sender in range(8)}


SLOW, PEER = "slow0", "slow1"


@pytest.fixture
def slow_interface() -> Iterator[str]:
    """Make an interface that sends ten bytes per second and queues the rest."""

    def ip(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, text=True)

    ip("ip", "link", "add", SLOW, "type", "veth", "peer", "name", PEER)
    try:
        ip("ip", "link", "set", SLOW, "up")
        ip("ip", "link", "set", PEER, "up")
        ip("tc", "qdisc", "add", "dev", SLOW, "root", "tbf", "rate", "80bit", "burst", "2kb", "limit", "10mb")
        yield SLOW
    finally:
        ip("ip", "link", "del", SLOW)


@contextmanager
def stuck(interface: str) -> Generator[Sender, None, None]:
    """Open a sender whose send buffer is full."""
    with Sender("239.9.8.7", 5000, interface=interface, send_buffer=1, gso=False) as tx:

        def is_full() -> bool:
            try:
                tx.send_many([bytes(1000)] * 1000, timeout=0.1)
            except TimeoutError:
                return True
            return False

        waiting.until(is_full, "a full send buffer")
        yield tx


@pytest.mark.alone
@pytest.mark.private_net
@pytest.mark.platform("linux")
class TestFullSendBuffer:
    """Test a full send buffer, where a ``sendto`` that never waits would lose messages."""

    @pytest.mark.parametrize("timeout", [0, 0.05, 0.2])
    def test_send_full_buffer_raises_after_the_timeout(self, slow_interface: str, timeout: float) -> None:
        with stuck(slow_interface) as tx:
            before = tx.stats().sent
            started = time.monotonic()
            with pytest.raises(TimeoutError, match="the send buffer stayed full"):
                tx.send(bytes(1000), timeout=timeout)
            assert timeout <= time.monotonic() - started < timeout + 0.5
            assert tx.stats().sent == before

    def test_send_full_buffer_close_ends_the_wait(self, slow_interface: str) -> None:
        with stuck(slow_interface) as tx:
            closer = threading.Timer(0.05, tx.close)
            closer.start()
            started = time.monotonic()
            with pytest.raises(ClosedError, match=r"the sender to .* is closed"):
                tx.send(bytes(1000))
            assert time.monotonic() - started < 0.5
            closer.join()

    def test_send_many_full_buffer_continues_when_there_is_room(self, slow_interface: str) -> None:
        with stuck(slow_interface) as tx:
            before = tx.stats().sent

            def open_up() -> None:
                subprocess.run(["tc", "qdisc", "del", "dev", slow_interface, "root"], check=True)

            opener = threading.Timer(0.05, open_up)
            opener.start()
            assert tx.send_many([bytes(1000)] * 100, timeout=PATIENCE) == 100
            assert tx.stats().sent == before + 100
            opener.join()
