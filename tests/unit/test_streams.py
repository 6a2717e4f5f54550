"""Statistics of RTP, MPEG-TS and numbered streams, from payloads alone."""

import struct
from collections.abc import Iterable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast import Datagram
from multicast.apps.numbered import HEADER, numbered
from multicast.apps.streams import Stream, Streams
from tests.support.stream_model import Model

MS = 1_000_000
SENDER = ("192.0.2.1", 4321)


def arrival(payload: bytes, time_ns: int) -> Datagram:
    return Datagram(payload, SENDER, "239.1.2.3", timestamp_ns=time_ns, ttl=7)


def fed_at(arrivals: Iterable[tuple[bytes, int]]) -> Streams:
    """Return streams that got these payloads at these times."""
    streams = Streams()
    for payload, time_ns in arrivals:
        streams.add_datagram(arrival(payload, time_ns), 5000, 0)
    return streams


def fed(payloads: Iterable[bytes], spacing_ns: int = MS) -> Stream:
    """Return a stream that got these payloads, one each millisecond."""
    (stream,) = fed_at((payload, number * spacing_ns) for number, payload in enumerate(payloads)).look()
    return stream


def rtp(number: int, stamp: int = 0, source: int = 7, kind: int = 33) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, number & 0xFFFF, stamp & 0xFFFFFFFF, source) + b"payload"


def ts(*counters: int, pid: int = 256, control: int = 1, flags: int | None = None) -> bytes:
    packets: list[bytes] = []
    for counter in counters:
        head = struct.pack("!BHB", 0x47, pid, control << 4 | counter & 0x0F)
        if flags is not None:
            head += bytes([1, flags])
        packets.append(head.ljust(188, b"\xff"))
    return b"".join(packets)


def counts(stream: Stream) -> tuple[object, ...]:
    return stream.kind, stream.received, stream.lost, stream.duplicates, stream.reordered, stream.restarts


def test_numbered_header_is_in_network_order() -> None:
    payload = numbered(0x01020304, 5, 6, 30)
    assert payload.hex() == "4d434e310102030400000000000000050000000000000006" + "00" * 6
    assert HEADER.size == 24


def test_numbered_stream_with_every_disorder_is_counted_exactly() -> None:
    order = [0, 1, 4, 3, 3, 8, 9]
    streams = fed_at((numbered(1, number, 0), MS * at) for at, number in enumerate(order))
    assert counts(streams.look()[0]) == ("numbered", 7, 4, 1, 1, 0)
    assert [(gap.first, gap.last) for gap in streams.gaps(0)] == [(2, 2), (5, 7)]
    with pytest.raises(IndexError, match="number must be below 1, got 1"):
        streams.gaps(1)


def test_numbered_restart_is_no_loss() -> None:
    stream = fed([*(numbered(1, number, 0) for number in (0, 1, 3)), *(numbered(2, n, 0) for n in range(5))])
    assert counts(stream) == ("numbered", 8, 1, 0, 0, 1)


def test_numbered_delays_are_relative_to_the_first() -> None:
    sent = [0, 1 * MS, 2 * MS]
    delays = [5 * MS, 3 * MS, 9 * MS]
    streams = fed_at(
        (numbered(1, number, time_ns), time_ns + delay)
        for number, (time_ns, delay) in enumerate(zip(sent, delays, strict=True))
    )
    assert streams.look()[0].delays_ns == (5 * MS, -2 * MS, 4 * MS)
    assert streams.delays(0, [0, 50, 100]) == pytest.approx([-2 * MS, 0, 4 * MS], rel=0.004)
    assert fed_at([(b"x", 0)]).delays(0, [50]) is None


ARRIVALS = st.tuples(st.integers(0, 40), st.sampled_from([7, 7, 7, 7, 8]), st.integers(0, 10 * MS))


@given(st.lists(ARRIVALS, min_size=1, max_size=60))
def test_numbered_stream_counts_as_the_model_does(arrivals: list[tuple[int, int, int]]) -> None:
    model, feed = Model(), list[tuple[bytes, int]]()
    for time_ns, (number, run, delay) in enumerate(arrivals):
        feed.append((numbered(run, number, time_ns * MS), time_ns * MS + delay))
        model.add_numbered(*feed[-1])
    (stream,) = fed_at(feed).look()
    assert (stream.lost, stream.duplicates, stream.reordered, stream.restarts) == model.counts()
    assert stream.jitter_us == pytest.approx((model.jitter or 0) / 1000)


@given(
    st.integers(0, 65535),
    st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 3, -1, -5, 0, 5000]), ARRIVALS), max_size=60),
)
def test_rtp_stream_counts_as_the_model_does(
    first: int, steps: list[tuple[int, tuple[int, int, int]]]
) -> None:
    payloads = [rtp(first), rtp(first + 1, stamp=90)]
    number = first + 1
    for at, (step, (_, source, _)) in enumerate(steps):
        number += step
        payloads.append(rtp(number, stamp=90 * (at + 2), source=source))
    delays = [0, 0, *(delay for _, (_, _, delay) in steps)]
    feed = [(payload, at * MS + delays[at]) for at, payload in enumerate(payloads)]
    model = Model()
    for one in feed:
        model.add_rtp(*one)
    (stream,) = fed_at(feed).look()
    assert (stream.lost, stream.duplicates, stream.reordered, stream.restarts) == model.counts()
    assert stream.jitter_us == pytest.approx((model.jitter or 0) / 1000)


def test_stream_says_where_it_comes_from_and_when() -> None:
    stream = fed([b"x", b"yz"])
    assert (stream.group, stream.port, stream.sender, stream.sender_port) == ("239.1.2.3", 5000, *SENDER)
    assert (stream.ttl, stream.dscp, stream.interface) == (7, None, None)
    assert (stream.received, stream.bytes, stream.first_ns, stream.last_ns) == (2, 3, 0, MS)


def test_burst_is_the_most_within_its_time() -> None:
    (stream,) = fed_at((bytes(100), at * MS) for at in [0, 50, 51, 52, 53, 54, 61, 90]).look()
    assert (stream.burst_packets, stream.burst_bytes) == (5, 500)
    assert stream.burst_buffer == 5 * 768 // 2


def test_rtp_in_sequence_is_recognized_and_clean() -> None:
    assert counts(fed(rtp(number) for number in range(10))) == ("rtp", 10, 0, 0, 0, 0)


@pytest.mark.parametrize("first", [0, 1000, 65_530])
def test_rtp_disorder_across_the_wrap_is_counted_exactly(first: int) -> None:
    order = [0, 1, 4, 3, 3, 8, 9]
    assert counts(fed(rtp(first + number) for number in order)) == ("rtp", 7, 4, 1, 1, 0)


def test_rtp_large_jump_counts_as_restart_only_if_it_continues() -> None:
    assert counts(fed(map(rtp, [1, 2, 3, 30_000, 4, 5]))) == ("rtp", 6, 0, 0, 0, 0)
    assert counts(fed(map(rtp, [1, 2, 3, 30_000, 30_001, 30_003]))) == ("rtp", 6, 1, 0, 0, 1)


def test_rtp_new_source_is_a_restart() -> None:
    payloads = [*map(rtp, [1, 2, 3]), *(rtp(number, source=8) for number in (500, 501, 503))]
    assert counts(fed(payloads)) == ("rtp", 6, 1, 0, 0, 1)


def test_rtp_jitter_of_a_steady_stream_is_zero_and_unknown_clocks_have_none() -> None:
    # 1 ms is 90 ticks of a clock of 90 kHz; the time stamps wrap around on the way.
    steady = fed(rtp(number, stamp=2**32 - 500 + 90 * number) for number in range(20))
    assert steady.jitter_us == pytest.approx(0, abs=1e-3)
    assert fed(rtp(number, kind=96) for number in range(20)).jitter_us is None


@pytest.mark.parametrize(
    "payloads",
    [
        [b"hello"] * 20,
        [b""] * 20,
        [bytes([0x80, 33]) + bytes([number * 7, 0]) * 5 for number in range(20)],
        [rtp(number, kind=72) for number in range(20)],  # RTCP
        [b"G" * 187] * 20,
    ],
    ids=["text", "empty", "not in sequence", "rtcp", "almost mpegts"],
)
def test_payload_without_numbers_stays_unknown(payloads: list[bytes]) -> None:
    stream = fed(payloads)
    assert counts(stream) == ("unknown", 20, None, None, None, 0)
    assert stream.jitter_us is None


def test_mpegts_continuity_counts_lost_packets_of_each_pid() -> None:
    payloads = [ts(0, 1, 2), ts(9, pid=300), ts(3, 6, 7), ts(10, pid=300), ts(5, 5, 5, pid=0x1FFF)]
    assert counts(fed(payloads)) == ("mpegts", 5, 2, 0, None, 0)


def test_mpegts_packet_may_be_sent_twice() -> None:
    assert counts(fed([ts(1, 1, 2)])) == ("mpegts", 1, 0, 1, None, 0)
    # A third one is not a copy: fifteen are missing.
    assert counts(fed([ts(1, 1, 1)])) == ("mpegts", 1, 15, 1, None, 0)


def test_mpegts_counter_stays_without_payload_and_may_jump_if_announced() -> None:
    assert fed([ts(1), ts(1, control=2), ts(2)]).lost == 0
    assert fed([ts(1), ts(9, control=3, flags=0x80), ts(10)]).lost == 0
    assert fed([ts(1), ts(9, control=3, flags=0x00), ts(10)]).lost == 7


@given(st.integers(0, 15), st.lists(st.integers(1, 15), max_size=100))
def test_mpegts_steps_below_16_are_counted_exactly(first: int, steps: list[int]) -> None:
    stream = fed(ts(number) for number in accumulate([first, *steps]))
    assert stream.lost == sum(step - 1 for step in steps)
