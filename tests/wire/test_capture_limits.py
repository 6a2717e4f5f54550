"""Recording: no file is larger than the limit, with its statistics at the end."""

from contextlib import ExitStack
from pathlib import Path

import pytest

import multicast
from multicast.capture import Recorder
from tests.support.waiting import until
from tests.wire.exchange import LOOPBACK, PATIENCE

pytestmark = pytest.mark.platform("linux")

# A packet with this payload takes 160 bytes of a file, so each remainder occurs.
PAYLOAD = b"x" * 100
LIMITS = range(5000, 5200, 4)


def recorders(
    stack: ExitStack, folder: Path, receivers: list[multicast.Receiver], option: str, **options: int
) -> dict[int, Recorder]:
    """Open a recorder for each limit, with a folder of its own."""
    opened: dict[int, Recorder] = {}
    for limit in LIMITS:
        (folder / str(limit)).mkdir()
        path = folder / str(limit) / "feed.pcapng"
        settings = {**options, option: limit}
        opened[limit] = stack.enter_context(Recorder(path, receivers, **settings))  # type: ignore[arg-type]
    return opened


def receive(rx: multicast.Receiver, count: int) -> list[multicast.Batch]:
    with LOOPBACK.sender(rx.port) as tx:
        tx.send_many([PAYLOAD] * count)
    batches: list[multicast.Batch] = []
    while sum(map(len, batches)) < count:
        batches.append(rx.recv_batch(timeout=PATIENCE))
    return batches


def sizes(folder: Path, limit: int) -> list[int]:
    return [file.stat().st_size for file in (folder / str(limit)).iterdir()]


@pytest.mark.parametrize("known", [True, False], ids=["known interface", "new interface"])
@pytest.mark.parametrize("option", ["rotate_bytes", "max_bytes"])
def test_recorder_file_is_at_most_as_large_as_the_limit(option: str, known: bool, tmp_path: Path) -> None:
    with LOOPBACK.receiver() as rx, ExitStack() as stack:
        opened = recorders(stack, tmp_path, [rx] if known else [], option)
        for batch in receive(rx, 100):
            for recorder in opened.values():
                recorder.write(batch, rx)
        stack.close()
    for limit in LIMITS:
        # The reserve is for one packet of IPv6 and the longest statistics.
        assert limit - 400 < max(sizes(tmp_path, limit)) <= limit


def test_recorder_files_together_are_at_most_as_large_as_the_limit(tmp_path: Path) -> None:
    with LOOPBACK.receiver() as rx, ExitStack() as stack:
        opened = recorders(stack, tmp_path, [rx], "max_bytes", rotate_bytes=1000)
        for batch in receive(rx, 100):
            for recorder in opened.values():
                recorder.write(batch, rx)
        stack.close()
        totals = {limit: recorder.stats().file_bytes for limit, recorder in opened.items()}
    for limit in LIMITS:
        assert totals[limit] == sum(sizes(tmp_path, limit))
        assert limit - 800 < totals[limit] <= limit
        assert max(sizes(tmp_path, limit)) <= 1000


@pytest.mark.parametrize("option", ["rotate_bytes", "max_bytes"])
def test_recorder_file_with_drops_is_at_most_as_large_as_the_limit(option: str, tmp_path: Path) -> None:
    with LOOPBACK.receiver(ring=32, gro=False) as rx, ExitStack() as stack:
        opened = recorders(stack, tmp_path, [rx], option)
        unlimited = stack.enter_context(Recorder(tmp_path / "unlimited.pcapng", rx))
        with LOOPBACK.sender(rx.port, gso=False) as tx:
            tx.send_many([PAYLOAD] * 100)
        until(lambda: rx.stats().ring_drops == 68 or None, "68 drops of the ring")
        batch = rx.recv_batch(timeout=PATIENCE)
        every = [*opened.values(), unlimited]
        for recorder in every:
            recorder.write(batch, rx)
        before = unlimited.stats().file_bytes

        def noted() -> bool | None:
            """Write what is due: after half a second, statistics with the drops, in each file that has room."""
            for recorder in every:
                recorder.tick()
            return unlimited.stats().file_bytes > before or None

        until(noted, "statistics in the middle of the file")
        stack.close()
    for limit in LIMITS:
        assert max(sizes(tmp_path, limit)) <= limit
