"""Test ``Batch``: a sequence of datagrams, and columns over memory that does not change while it is in use."""

import contextlib
import gc
import itertools
import pickle
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from multicast._core import Batch, Datagram
from multicast.sync import Receiver, Sender
from tests.wire.exchange import LOOPBACK, PATIENCE

# Runs of equal sizes, which are coalesced on the way, and single payloads, which are not.
PAYLOADS = [b"a" * 100] * 7 + [b"", b"bb", b"c" * 1472, b"d" * 9000, b"e" * 64, b"e" * 64, b"f" * 30]


def exactly(rx: Receiver, count: int) -> Batch:
    """Return one batch of ``count`` datagrams, which have been sent already."""
    # With packets, they can be in several blocks, which become ready one after another.
    batch = rx.recv_batch(limit=count, timeout=PATIENCE, linger=1.0)
    assert len(batch) == count
    return batch


def filled(payloads: list[bytes] = PAYLOADS) -> Batch:
    with LOOPBACK.pair() as (tx, rx):
        tx.send_many(payloads)
        return exactly(rx, len(payloads))


def by_columns(batch: Batch) -> list[bytes]:
    data = bytes(batch.data)
    return [data[start : start + length] for start, length in zip(batch.offsets, batch.lengths, strict=True)]


class TestSequence:
    def test_batch_length_items_and_order_are_those_of_the_datagrams(self) -> None:
        batch = filled()
        assert len(batch) == len(PAYLOADS)
        assert batch.payloads() == PAYLOADS
        assert [datagram.data for datagram in batch] == PAYLOADS
        assert [batch[place].data for place in range(len(batch))] == PAYLOADS
        assert [datagram.data for datagram in reversed(batch)] == PAYLOADS[::-1]
        assert all(type(datagram) is Datagram for datagram in batch)

    @pytest.mark.parametrize("place", [-1, -2, -len(PAYLOADS)])
    def test_batch_negative_index_counts_from_the_end(self, place: int) -> None:
        assert filled()[place].data == PAYLOADS[place]

    @pytest.mark.parametrize("place", [len(PAYLOADS), -len(PAYLOADS) - 1, 2**31, -(2**63), 2**63 - 1])
    def test_batch_index_out_of_range_raises_index_error(self, place: int) -> None:
        with pytest.raises(IndexError, match=f"index {place} of a batch of {len(PAYLOADS)} datagrams"):
            filled()[place]

    @pytest.mark.parametrize("place", ["1", 1.0, None, (1, 2)])
    def test_batch_index_of_wrong_type_raises_type_error(self, place: object) -> None:
        with pytest.raises(TypeError):
            filled()[place]  # type: ignore[call-overload]

    @pytest.mark.parametrize(
        "part",
        [
            slice(None),
            slice(2, 5),
            slice(-3, None),
            slice(5, 2),
            slice(3, 3),
            slice(100, 200),
            slice(-100, 2),
            slice(None, None, 2),
            slice(None, None, -1),
            slice(10, 1, -3),
            slice(2, 5, -1),
        ],
        ids=str,
    )
    def test_batch_slice_is_that_of_a_list(self, part: slice) -> None:
        sliced = filled()[part]
        assert [datagram.data for datagram in sliced] == PAYLOADS[part]
        assert len(sliced) == len(PAYLOADS[part])

    def test_batch_slice_without_step_is_a_batch(self) -> None:
        part = filled()[2:9]
        assert isinstance(part, Batch)
        assert part.payloads() == PAYLOADS[2:9]
        assert by_columns(part) == PAYLOADS[2:9]
        inner = part[1:-1]
        assert isinstance(inner, Batch)
        assert by_columns(inner) == PAYLOADS[3:8]

    def test_batch_iterators_are_independent(self) -> None:
        batch = filled()
        one, two = iter(batch), iter(batch)
        assert next(one).data == next(two).data == PAYLOADS[0]
        assert [datagram.data for datagram in one] == PAYLOADS[1:]
        with pytest.raises(StopIteration):
            next(one)

    def test_batch_datagrams_equal_those_of_recv(self) -> None:
        with LOOPBACK.pair() as (tx, rx):
            tx.send_many(PAYLOADS)
            singly = [rx.recv(timeout=PATIENCE) for _ in PAYLOADS]
            tx.send_many(PAYLOADS)
            for one, other in zip(exactly(rx, len(PAYLOADS)), singly, strict=True):
                assert (one.data, one.sender, one.group) == (other.data, other.sender, other.group)
                assert (one.interface, one.ttl, one.truncated) == (other.interface, other.ttl, False)

    def test_batch_repr_shows_datagrams_and_bytes(self) -> None:
        size = sum(map(len, PAYLOADS))
        assert repr(filled()) == f"<Batch of {len(PAYLOADS)} datagrams, {size} bytes>"

    def test_batch_pickle_raises_type_error(self) -> None:
        # Its datagrams can be pickled.
        batch = filled()
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(batch)
        assert pickle.loads(pickle.dumps(list(batch))) == list(batch)


class TestSize:
    def test_recv_batch_never_exceeds_the_limit_and_loses_nothing(self) -> None:
        messages = [bytes([number]) * 100 for number in range(200)]
        with LOOPBACK.pair() as (tx, rx):
            tx.send_many(messages)
            taken: list[bytes] = []
            for most in [1, 2, 3, 50, 1, 100]:
                batch = rx.recv_batch(limit=most, timeout=PATIENCE)
                assert 1 <= len(batch) <= most
                taken += batch.payloads()
            while len(taken) < len(messages):
                taken += rx.recv_batch(timeout=PATIENCE).payloads()
            assert taken == messages

    def test_recv_batch_mixed_with_recv_keeps_the_order(self) -> None:
        messages = [bytes([number]) * 100 for number in range(100)]
        with LOOPBACK.pair() as (tx, rx):
            tx.send_many(messages)
            ways: list[Callable[[], list[bytes]]] = [
                lambda: [rx.recv(timeout=PATIENCE).data],
                lambda: [next(rx).data],
                lambda: rx.recv_batch(limit=3, timeout=PATIENCE).payloads(),
            ]
            taken: list[bytes] = []
            for way in itertools.cycle(ways):
                taken += way()
                if len(taken) >= len(messages):
                    break
            assert taken == messages

    def test_recv_batch_does_not_wait_to_be_full(self) -> None:
        with LOOPBACK.pair() as (tx, rx):
            tx.send(b"alone")
            assert rx.recv_batch(limit=10_000, timeout=PATIENCE).payloads() == [b"alone"]


class TestColumns:
    def test_columns_describe_the_datagrams(self) -> None:
        batch = filled()
        assert by_columns(batch) == PAYLOADS
        assert list(batch.lengths) == [len(payload) for payload in PAYLOADS]
        times = batch.timestamps_ns
        assert times is not None
        assert list(times) == [datagram.timestamp_ns for datagram in batch]

    @pytest.mark.parametrize(
        ("column", "dtype"),
        [
            ("data", "uint8"),
            ("offsets", "uint32"),
            ("lengths", "uint32"),
            ("timestamps_ns", "int64"),
            ("sender_ids", "uint32"),
            ("group_ids", "uint32"),
        ],
    )
    def test_columns_numpy_reads_them_without_copying(self, column: str, dtype: str) -> None:
        view = getattr(filled(), column)
        numbers = np.asarray(view)
        assert (numbers.dtype, numbers.ndim) == (np.dtype(dtype), 1)
        assert numbers.ctypes.data == np.frombuffer(view, dtype=dtype).ctypes.data
        assert not numbers.flags.owndata
        assert not numbers.flags.writeable

    @pytest.mark.parametrize(
        "column", ["data", "offsets", "lengths", "timestamps_ns", "sender_ids", "group_ids"]
    )
    def test_columns_are_read_only(self, column: str) -> None:
        view = getattr(filled(), column)
        assert view.readonly
        with pytest.raises(TypeError, match="read-only"):
            view[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            np.asarray(view)[0] = 0

    def test_columns_without_timestamps_are_none(self) -> None:
        with LOOPBACK.pair(timestamps=False) as (tx, rx):
            tx.send_many(PAYLOADS)
            assert exactly(rx, len(PAYLOADS)).timestamps_ns is None

    def test_columns_ids_refer_to_distinct_senders_and_groups(self) -> None:
        groups = ["239.9.8.1", "239.9.8.2"]
        with Receiver(groups, 0, interface=LOOPBACK.interface) as rx:
            order = [0, 1, 1, 0, 2, 0]
            to = [groups[0], groups[1], groups[0]]
            senders = [Sender(group, rx.port, interface=LOOPBACK.interface) for group in to]
            for which in order:
                senders[which].send(bytes([which]))
            batch = exactly(rx, len(order))
            for one in senders:
                one.close()
            assert list(batch.sender_ids) == order
            assert [batch.senders[place] for place in batch.sender_ids] == [one.sender for one in batch]
            assert len(batch.senders) == len(set(batch.senders)) == 3
            assert [batch.groups[place] for place in batch.group_ids] == [one.group for one in batch]
            assert list(batch.groups) == groups

    def test_columns_of_empty_slice_are_empty(self) -> None:
        empty = filled()[3:3]
        assert isinstance(empty, Batch)
        assert (len(empty), empty.payloads(), empty.senders, empty.groups) == (0, [], (), ())
        for view in (empty.offsets, empty.lengths, empty.sender_ids, empty.group_ids):
            assert (view.nbytes, list(view), np.asarray(view).size) == (0, [], 0)


class TestMemory:
    """Test that views keep their contents while the receiver continues to receive, closes, or is deleted."""

    @contextmanager
    def flowing(self) -> Generator[tuple[Sender, Receiver], None, None]:
        with LOOPBACK.pair() as (tx, rx):
            yield tx, rx

    def test_memory_of_held_batches_is_not_overwritten(self) -> None:
        draw = random.Random(3)
        with self.flowing() as (tx, rx):
            held: list[tuple[list[bytes], Batch]] = []
            for _ in range(40):
                payloads = [draw.randbytes(draw.choice([0, 60, 1316])) for _ in range(30)]
                tx.send_many(payloads)
                held.append((payloads, exactly(rx, len(payloads))))
                # Release some in random order, so that their memory may be reused.
                if len(held) > 12:
                    del held[draw.randrange(len(held))]
                for expected, batch in held:
                    assert batch.payloads() == expected
                    assert by_columns(batch) == expected

    def test_memory_of_view_alone_is_kept(self) -> None:
        with self.flowing() as (tx, rx):
            views: list[tuple[memoryview, Any, memoryview, int]] = []
            for number in range(10):
                tx.send_many([bytes([number]) * 500] * 20)
                batch = exactly(rx, 20)
                views.append((batch.data, np.asarray(batch.offsets), memoryview(batch.lengths)[3:4], number))
                del batch
                gc.collect()
            for data, offsets, length, number in views:
                for start in offsets:
                    assert bytes(data[start : start + length[0]]) == bytes([number]) * 500

    def test_memory_of_slice_alone_is_kept(self) -> None:
        with self.flowing() as (tx, rx):
            parts: list[Any] = []
            for number in range(10):
                tx.send_many([bytes([number])] * 20)
                parts.append(exactly(rx, 20)[5:6])
                gc.collect()
            assert [part[0].data for part in parts] == [bytes([number]) for number in range(10)]

    def test_memory_of_views_outlives_the_receiver(self) -> None:
        with self.flowing() as (tx, rx):
            tx.send_many(PAYLOADS)
            batch = exactly(rx, len(PAYLOADS))
            data, offsets, lengths = batch.data, batch.offsets, batch.lengths
        del rx, tx
        gc.collect()
        assert batch.payloads() == PAYLOADS
        del batch
        gc.collect()
        flat = bytes(data)
        assert [flat[at : at + n] for at, n in zip(offsets, lengths, strict=True)] == PAYLOADS

    def test_memory_released_view_does_not_affect_another(self) -> None:
        batch = filled()
        first, second = batch.offsets, batch.offsets
        first.release()
        assert list(second) == list(batch.offsets)

    def test_memory_not_held_is_reused(self) -> None:
        with self.flowing() as (tx, rx):
            places: set[int] = set()
            for _ in range(200):
                tx.send_many(PAYLOADS)
                places.add(np.asarray(exactly(rx, len(PAYLOADS)).data).ctypes.data)
            # Not a new address each time. How many there are is the choice of the receiver.
            assert len(places) < 20

    def test_batch_read_by_8_threads_is_consistent(self) -> None:
        batch = filled()
        together = threading.Barrier(8)
        wrong: list[object] = []

        def read(seed: int) -> None:
            draw = random.Random(seed)
            together.wait(PATIENCE)
            for _ in range(200):
                start, end = sorted(draw.sample(range(len(PAYLOADS) + 1), 2))
                part = batch[start:end]
                assert isinstance(part, Batch)
                if part.payloads() != PAYLOADS[start:end] or by_columns(part) != PAYLOADS[start:end]:
                    wrong.append((start, end))
                place = draw.randrange(len(PAYLOADS))
                if batch[place].data != PAYLOADS[place]:
                    wrong.append(place)

        threads = [threading.Thread(target=read, args=[seed]) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_batch_iterator_shared_by_threads_has_no_duplicates(self) -> None:
        batch = filled([number.to_bytes(2, "big") for number in range(200)])
        shared = iter(batch)
        together = threading.Barrier(4)
        taken: list[list[int]] = [[] for _ in range(4)]

        def take(mine: list[int]) -> None:
            together.wait(PATIENCE)
            mine += [int.from_bytes(datagram.data, "big") for datagram in shared]

        threads = [threading.Thread(target=take, args=[mine]) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(number for mine in taken for number in mine) == list(range(200))
        assert all(mine == sorted(mine) for mine in taken)


@pytest.mark.parametrize("senders", [1, 2, 5])
def test_batch_sender_ids_match_the_senders(senders: int) -> None:
    with contextlib.ExitStack() as stack:
        rx = stack.enter_context(LOOPBACK.receiver())
        each = [stack.enter_context(LOOPBACK.sender(rx.port)) for _ in range(senders)]
        order = [0, 0, 1, 0, 4, 4, 2, 1, 3, 0, 1, 1]
        for number in order:
            each[number % senders].send(bytes([number % senders]))
        batch = exactly(rx, len(order))
        assert [batch.senders[place] for place in batch.sender_ids] == [msg.sender for msg in batch]
        assert len(batch.senders) == len({number % senders for number in order})
        assert set(batch.group_ids) == {0}
