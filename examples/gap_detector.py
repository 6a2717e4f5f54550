"""Find the gaps in a numbered feed, such as market data, and where the missing datagrams were lost.

    python3 examples/gap_detector.py
    python3 examples/publisher.py --count 1000 --rate 500 --leave-out 100

The receiver counts the datagrams that this machine dropped. Others that are missing were lost in the
network or never sent; a larger buffer would not help. Press Ctrl-C to stop.
"""

import argparse
import struct
from dataclasses import dataclass

import multicast

NUMBER = struct.Struct("!Q")


@dataclass
class Feed:
    """The numbers of one sender."""

    expected: int
    received: int = 0
    missing: int = 0
    late: int = 0

    def record(self, number: int) -> int:
        """Record a received number and return how many are missing directly before it."""
        self.received += 1
        if number < self.expected:
            # Already counted as missing, or a duplicate.
            self.late += 1
            return 0
        gap = number - self.expected
        self.missing += gap
        self.expected = number + 1
        return gap


def watch(rx: multicast.Receiver, feeds: dict[tuple[str, int], Feed], timeout: float | None) -> None:
    """Record every datagram and print each gap, until nothing arrives for `timeout` seconds."""
    while True:
        try:
            msg = rx.recv(timeout)
        except TimeoutError:
            return
        if len(msg) < NUMBER.size:
            continue
        (number,) = NUMBER.unpack_from(msg.data)
        feed = feeds.setdefault(msg.sender, Feed(expected=number))
        gap = feed.record(number)
        if gap:
            print(f"{msg.sender[0]}: {gap} missing before #{number}", flush=True)


def summary(rx: multicast.Receiver, feeds: dict[tuple[str, int], Feed]) -> str:
    """Return how many datagrams are missing, and how many of them this machine dropped."""
    stats = rx.stats()
    dropped = (stats.kernel_drops or 0) + stats.ring_drops
    missing = sum(feed.missing for feed in feeds.values())
    late = sum(feed.late for feed in feeds.values())
    received = sum(feed.received for feed in feeds.values())
    return (
        f"{received} received, {missing} missing: {dropped} dropped here, "
        f"{max(0, missing - dropped)} lost in the network; {late} late or duplicate"
    )


def main() -> None:
    """Parse the command line and watch the feed."""
    parser = argparse.ArgumentParser(description="Find the gaps in a numbered feed.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument("--recv-buffer", type=int, metavar="BYTES", help="receive buffer (default: large)")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="stop after this much silence (default: never)"
    )
    options = parser.parse_args()
    feeds: dict[tuple[str, int], Feed] = {}
    # With gro=True, the kernel counts a dropped buffer of coalesced datagrams as one drop.
    with multicast.Receiver(
        options.group,
        interface=options.interface,
        recv_buffer=options.recv_buffer or "auto",
        gro=False,
    ) as rx:
        print(f"watching {options.group}", flush=True)
        try:
            watch(rx, feeds, options.timeout)
        finally:
            print(summary(rx, feeds))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
