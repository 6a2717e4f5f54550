"""Test that payloads arrive whole, unchanged and in order, however they are sent and received.

``test_flood.py`` does the same with long streams.
"""

import random

import pytest

from tests.wire.exchange import PATIENCE, SENDS, TAKES, Link, Send, Take, name, nothing_more

# An Ethernet frame carries at most 1,472 bytes over IPv4 and 1,452 over IPv6.
SIZES = [0, 1, 2, 1452, 1453, 1472, 1473, 9000]


def random_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("gro", [True, False], ids=["gro", "no-gro"])
@pytest.mark.parametrize("gso", [True, False], ids=["gso", "no-gso"])
@pytest.mark.parametrize("take", TAKES, ids=name)
@pytest.mark.parametrize("send", SENDS, ids=name)
def test_payload_of_any_size_arrives_unchanged(
    link: Link, send: Send, take: Take, gso: bool, gro: bool
) -> None:
    messages = [random_bytes(size, seed=size) for size in [*SIZES, link.largest]]
    with link.pair({"gso": gso}, gro=gro) as (tx, rx):
        send(tx, messages)
        assert [datagram.data for datagram in take(rx, len(messages))] == messages
        nothing_more(rx, tx)


@pytest.mark.parametrize("gro", [True, False], ids=["gro", "no-gro"])
@pytest.mark.parametrize("size", [0, 1, 100, 1316, 1472, 1473, 30_000])
def test_payloads_of_equal_size_arrive_as_separate_datagrams(link: Link, size: int, gro: bool) -> None:
    # A shorter payload ends a coalesced run. An empty or a longer one cannot be part of it.
    messages = [random_bytes(size, seed) for seed in range(7)]
    messages += [
        random_bytes(size // 2, 8),
        random_bytes(size, 9),
        b"",
        random_bytes(size, 10),
        random_bytes(size + 1, 11),
    ]
    with link.pair(gro=gro) as (tx, rx):
        assert tx.send_many(messages) == len(messages)
        received = [rx.recv(timeout=PATIENCE) for _ in messages]
        assert [datagram.data for datagram in received] == messages
        assert not any(datagram.truncated for datagram in received)
        nothing_more(rx, tx)


def test_payload_with_every_byte_value_arrives_unchanged(link: Link) -> None:
    every = bytes(range(256))
    messages = [
        every,
        every[::-1],
        b"\x00",
        b"\xff" * 7,
        b"\r\n",
        "ü€😀".encode(),
        b"\xed\xa0\x80 no UTF-8 \xff",
    ]
    with link.pair() as (tx, rx):
        tx.send_many(messages)
        assert [rx.recv(timeout=PATIENCE).data for _ in messages] == messages
