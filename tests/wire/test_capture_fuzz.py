"""Replaying files that are damaged in any way: the player ends, or raises one clear error."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import multicast
from multicast.capture import Player, Recorder

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUP, PORT = "239.4.20.1", 49_420


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file with packets of IPv4, made by the recorder."""
    path = tmp_path_factory.mktemp("fuzz") / "feed.pcapng"
    with (
        multicast.Receiver(GROUP, PORT, interface="lo", gro=False) as rx,
        Recorder(path, rx, comment="to be damaged") as recorder,
        multicast.Sender(GROUP, PORT, interface="lo") as tx,
    ):
        tx.send_many([bytes([n]) * (n * 7) for n in range(12)])
        while recorder.stats().written < 12:
            recorder.write(rx.recv_batch(timeout=10.0), rx)
    return path.read_bytes()


def blocks(kind: int, body: bytes, order: str) -> bytes:
    """Return a block, whose body need not make sense."""
    length = 12 + len(body) + -len(body) % 4
    return (
        struct.pack(f"{order}II", kind, length)
        + body
        + bytes(-len(body) % 4)
        + struct.pack(f"{order}I", length)
    )


ORDERS = st.sampled_from("<>")
KINDS = st.sampled_from([1, 2, 3, 5, 6, 0x0A0D0D0A, 0x80000001]) | st.integers(0, 2**32 - 1)
CHANGES = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8)


def check(path: Path, content: bytes) -> None:
    """Replay this content, which ends or raises one error that names the file."""
    path.write_bytes(content)
    try:
        with Player(path, interface="lo", speed=None, groups=[GROUP]) as player:
            player.run()
            stats = player.stats()
    except ValueError as error:
        assert str(error).startswith(f"cannot read {path}: ")
        assert "\n" not in str(error)
        assert len(str(error)) < len(str(path)) + 200
    else:
        assert stats.packets >= stats.sent + stats.other + stats.filtered + stats.cut + stats.incomplete


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, length=st.integers(0, 4000), more=st.binary(max_size=64))
def test_replay_of_a_changed_recording_ends_or_raises_one_error(
    changes: list[tuple[int, int]], length: int, more: bytes, recording: bytes, tmp_path: Path
) -> None:
    content = bytearray(recording)
    for at, value in changes:
        content[at % len(content)] = value
    check(tmp_path / "feed.pcapng", bytes(content[:length]) + more)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=ORDERS, several=st.lists(st.tuples(KINDS, st.binary(max_size=80)), max_size=6))
@example(order="<", several=[(6, bytes(20))])
def test_replay_of_any_blocks_ends_or_raises_one_error(
    order: str, several: list[tuple[int, bytes]], tmp_path: Path
) -> None:
    section = blocks(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    content = section + b"".join(blocks(kind, body, order) for kind, body in several)
    check(tmp_path / "feed.pcapng", content)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    link=st.sampled_from([0, 1, 101, 108, 113, 228, 229, 276]) | st.integers(0, 2**16 - 1),
    packets=st.lists(st.binary(max_size=120), max_size=5),
    magic=st.sampled_from([0xA1B2C3D4, 0xA1B23C4D]),
    order=ORDERS,
)
def test_replay_of_any_packets_ends_or_raises_one_error(
    link: int, packets: list[bytes], magic: int, order: str, tmp_path: Path
) -> None:
    content = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, link)
    for packet in packets:
        content += struct.pack(f"{order}IIII", 1, 2, len(packet), len(packet)) + packet
    check(tmp_path / "feed.pcap", content)
