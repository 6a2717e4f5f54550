"""``Batch``: a sequence of datagrams and columns over memory that stays as it is while anyone looks."""

import gc
import pickle
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from multicast._core import Batch, Datagram
from multicast.sync import Receiver, Sender
from tests.wire.exchange import LOOPBACK, PATIENCE

# Runs that are coalesced on the way, and single ones that are not.
PAYLOADS = [b"a" * 100] * 7 + [b"", b"bb", b"c" * 1472, b"d" * 9000, b"e" * 64, b"e" * 64, b"f" * 30]


def exactly(rx: Receiver, count: int) -> Batch:
    """One batch of ``count`` datagrams that are there."""
    batch = rx.recv_batch(max=count, timeout=PATIENCE)
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
    def test_it_has_a_length_items_and_an_order(self) -> None:
        batch = filled()
        assert len(batch) == len(PAYLOADS)
        assert batch.payloads() == PAYLOADS
        assert [datagram.data for datagram in batch] == PAYLOADS
        assert [batch[place].data for place in range(len(batch))] == PAYLOADS
        assert [datagram.data for datagram in reversed(batch)] == PAYLOADS[::-1]
        assert all(type(datagram) is Datagram for datagram in batch)

    @pytest.mark.parametrize("place", [-1, -2, -len(PAYLOADS)])
    def test_negative_places_count_from_the_end(self, place: int) -> None:
        assert filled()[place].data == PAYLOADS[place]

    @pytest.mark.parametrize("place", [len(PAYLOADS), -len(PAYLOADS) - 1, 2**31, -(2**63), 2**63 - 1])
    def test_a_place_outside_is_an_index_error(self, place: int) -> None:
        with pytest.raises(IndexError, match=f"index {place} of a batch of {len(PAYLOADS)} datagrams"):
            filled()[place]

    @pytest.mark.parametrize("place", ["1", 1.0, None, (1, 2)])
    def test_a_place_is_a_whole_number_or_a_slice(self, place: object) -> None:
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
    def test_slices_are_those_of_a_list(self, part: slice) -> None:
        sliced = filled()[part]
        assert [datagram.data for datagram in sliced] == PAYLOADS[part]
        assert len(sliced) == len(PAYLOADS[part])

    def test_a_slice_without_steps_is_a_batch_of_the_same_memory(self) -> None:
        part = filled()[2:9]
        assert isinstance(part, Batch)
        assert part.payloads() == PAYLOADS[2:9]
        assert by_columns(part) == PAYLOADS[2:9]
        inner = part[1:-1]
        assert isinstance(inner, Batch)
        assert by_columns(inner) == PAYLOADS[3:8]

    def test_an_iterator_is_its_own_and_ends(self) -> None:
        batch = filled()
        one, two = iter(batch), iter(batch)
        assert next(one).data == next(two).data == PAYLOADS[0]
        assert [datagram.data for datagram in one] == PAYLOADS[1:]
        with pytest.raises(StopIteration):
            next(one)

    def test_its_datagrams_are_full_values(self) -> None:
        with LOOPBACK.pair() as (tx, rx):
            tx.send_many(PAYLOADS)
            singly = [rx.recv(timeout=PATIENCE) for _ in PAYLOADS]
            tx.send_many(PAYLOADS)
            for one, other in zip(exactly(rx, len(PAYLOADS)), singly, strict=True):
                assert (one.data, one.sender, one.group) == (other.data, other.sender, other.group)
                assert (one.interface, one.ttl, one.truncated) == (other.interface, other.ttl, False)

    def test_repr_tells_how_much_it_holds(self) -> None:
        octets = sum(map(len, PAYLOADS))
        assert repr(filled()) == f"<Batch of {len(PAYLOADS)} datagrams, {octets} octets>"

    def test_it_cannot_be_pickled(self) -> None:
        # Its datagrams can: what would come back of a batch is no shared memory any more.
        batch = filled()
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(batch)
        assert pickle.loads(pickle.dumps(list(batch))) == list(batch)


class TestSize:
    def test_there_are_never_more_than_asked_for_and_none_is_lost(self) -> None:
        messages = [bytes([number]) * 100 for number in range(200)]
        with LOOPBACK.pair() as (tx, rx):
            tx.send_many(messages)
            taken: list[bytes] = []
            for most in [1, 2, 3, 50, 1, 100]:
                batch = rx.recv_batch(max=most, timeout=PATIENCE)
                assert 1 <= len(batch) <= most
                taken += batch.payloads()
            while len(taken) < len(messages):
                taken += rx.recv_batch(timeout=PATIENCE).payloads()
            assert taken == messages

    def test_single_and_batched_receives_take_turns(self) -> None:
        messages = [bytes([number]) * 100 for number in range(100)]
        with LOOPBACK.pair() as (tx, rx):
            tx.send_many(messages)
            taken: list[bytes] = []
            while len(taken) < len(messages):
                taken.append(rx.recv(timeout=PATIENCE).data)
                taken.append(next(rx).data)
                taken += rx.recv_batch(max=3, timeout=PATIENCE).payloads()
            assert taken == messages

    def test_a_batch_does_not_wait_to_be_full(self) -> None:
        with LOOPBACK.pair() as (tx, rx):
            tx.send(b"alone")
            assert rx.recv_batch(max=10_000, timeout=PATIENCE).payloads() == [b"alone"]


class TestColumns:
    def test_they_describe_the_datagrams(self) -> None:
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
    def test_numpy_reads_them_in_place(self, column: str, dtype: str) -> None:
        view = getattr(filled(), column)
        numbers = np.asarray(view)
        assert (numbers.dtype, numbers.ndim) == (np.dtype(dtype), 1)
        assert numbers.ctypes.data == np.frombuffer(view, dtype=dtype).ctypes.data
        assert not numbers.flags.owndata
        assert not numbers.flags.writeable

    @pytest.mark.parametrize(
        "column", ["data", "offsets", "lengths", "timestamps_ns", "sender_ids", "group_ids"]
    )
    def test_nobody_can_write_to_them(self, column: str) -> None:
        view = getattr(filled(), column)
        assert view.readonly
        with pytest.raises(TypeError, match="read-only"):
            view[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            np.asarray(view)[0] = 0

    def test_without_timestamps_there_is_no_column_of_them(self) -> None:
        with LOOPBACK.pair(timestamps=False) as (tx, rx):
            tx.send_many(PAYLOADS)
            assert exactly(rx, len(PAYLOADS)).timestamps_ns is None

    def test_senders_and_groups_are_listed_once_and_referred_to(self) -> None:
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

    def test_an_empty_slice_has_empty_columns(self) -> None:
        empty = filled()[3:3]
        assert isinstance(empty, Batch)
        assert (len(empty), empty.payloads(), empty.senders, empty.groups) == (0, [], (), ())
        for view in (empty.offsets, empty.lengths, empty.sender_ids, empty.group_ids):
            assert (view.nbytes, list(view), np.asarray(view).size) == (0, [], 0)


class TestMemory:
    """Views stay true while the receiver goes on, closes, or is gone."""

    @contextmanager
    def flowing(self) -> Iterator[tuple[Sender, Receiver]]:
        with LOOPBACK.pair() as (tx, rx):
            yield tx, rx

    def test_what_is_held_is_not_overwritten(self) -> None:
        draw = random.Random(3)
        with self.flowing() as (tx, rx):
            held: list[tuple[list[bytes], Batch]] = []
            for _ in range(40):
                payloads = [draw.randbytes(draw.choice([0, 60, 1316])) for _ in range(30)]
                tx.send_many(payloads)
                held.append((payloads, exactly(rx, len(payloads))))
                # Some are given up, in any order, and their memory may be used again.
                if len(held) > 12:
                    del held[draw.randrange(len(held))]
                for expected, batch in held:
                    assert batch.payloads() == expected
                    assert by_columns(batch) == expected

    def test_a_view_alone_keeps_its_memory(self) -> None:
        with self.flowing() as (tx, rx):
            views = []
            for number in range(10):
                tx.send_many([bytes([number]) * 500] * 20)
                batch = exactly(rx, 20)
                views.append((batch.data, np.asarray(batch.offsets), memoryview(batch.lengths)[3:4], number))
                del batch
                gc.collect()
            for data, offsets, length, number in views:
                for start in offsets:
                    assert bytes(data[start : start + length[0]]) == bytes([number]) * 500

    def test_a_slice_alone_keeps_its_memory(self) -> None:
        with self.flowing() as (tx, rx):
            parts = []
            for number in range(10):
                tx.send_many([bytes([number])] * 20)
                parts.append(exactly(rx, 20)[5:6])
                gc.collect()
            assert [part[0].data for part in parts] == [bytes([number]) for number in range(10)]

    def test_views_outlive_a_close_and_the_receiver(self) -> None:
        with self.flowing() as (tx, rx):
            tx.send_many(PAYLOADS)
            batch = exactly(rx, len(PAYLOADS))
            data, offsets, lengths = batch.data, batch.offsets, batch.lengths
        del rx, tx
        gc.collect()
        assert batch.payloads() == PAYLOADS
        del batch
        gc.collect()
        octets = bytes(data)
        assert [octets[at : at + n] for at, n in zip(offsets, lengths, strict=True)] == PAYLOADS

    def test_a_released_view_does_not_hurt_another(self) -> None:
        batch = filled()
        first, second = batch.offsets, batch.offsets
        first.release()
        assert list(second) == list(batch.offsets)

    def test_memory_is_used_again_when_nobody_holds_it(self) -> None:
        with self.flowing() as (tx, rx):
            places = set()
            for _ in range(200):
                tx.send_many(PAYLOADS)
                places.add(np.asarray(exactly(rx, len(PAYLOADS)).data).ctypes.data)
            # Not a new place each time; how many there are is the receiver's choice.
            assert len(places) < 20

    def test_many_threads_read_one_batch(self) -> None:
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

    def test_many_threads_share_one_iterator_without_doubles(self) -> None:
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
