"""A gap detector, as for market data: which numbers of a feed are missing, and who lost them.

    python3 examples/gap_detector.py
    python3 examples/publisher.py --count 1000 --rate 500 --leave-out 100

What this machine dropped is counted by the receiver. What is missing beyond that was lost on the way here, or never
sent: more buffer would not help. Ctrl-C ends it, as does silence with ``--timeout``.
"""

import argparse
import struct
from dataclasses import dataclass

import multicast

NUMBER = struct.Struct("!Q")


@dataclass
class Feed:
    """What one sender's numbers say."""

    expected: int
    received: int = 0
    missing: int = 0
    late: int = 0

    def take(self, number: int) -> int:
        """Note a number; returns how many are missing just before it."""
        self.received += 1
        if number < self.expected:
            # It was counted as missing before, or it is a copy.
            self.late += 1
            return 0
        gap = number - self.expected
        self.missing += gap
        self.expected = number + 1
        return gap


def watch(rx: multicast.Receiver, feeds: dict[tuple[str, int], Feed], timeout: float | None) -> None:
    """Note every datagram, and tell about each gap, until nothing comes for ``timeout`` seconds."""
    while True:
        try:
            msg = rx.recv(timeout)
        except TimeoutError:
            return
        if len(msg) < NUMBER.size:
            continue
        (number,) = NUMBER.unpack_from(msg.data)
        feed = feeds.setdefault(msg.sender, Feed(expected=number))
        gap = feed.take(number)
        if gap:
            print(f"{msg.sender[0]}: {gap} missing before #{number}", flush=True)


def summary(rx: multicast.Receiver, feeds: dict[tuple[str, int], Feed]) -> str:
    """Tell how many are missing, and how many of them this machine dropped."""
    stats = rx.stats()
    here = (stats.kernel_drops or 0) + stats.ring_drops
    missing = sum(feed.missing for feed in feeds.values())
    late = sum(feed.late for feed in feeds.values())
    received = sum(feed.received for feed in feeds.values())
    return (
        f"{received} received, {missing} missing: {here} dropped here, {max(0, missing - here)} on the way; "
        f"{late} late or twice"
    )


def main() -> None:
    """Read the command line and watch."""
    parser = argparse.ArgumentParser(description="Finds the gaps in a numbered feed.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument("--interface", default="127.0.0.1", help="name, index or address (%(default)s)")
    parser.add_argument("--recv-buffer", type=int, metavar="OCTETS", help="a buffer to try it with")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end after so much silence (never)")
    arguments = parser.parse_args()
    feeds: dict[tuple[str, int], Feed] = {}
    # A coalesced buffer that the kernel drops would count as one, whatever was in it: without, the count is exact.
    with multicast.Receiver(
        arguments.group,
        interface=arguments.interface,
        recv_buffer=arguments.recv_buffer or "auto",
        gro=False,
    ) as rx:
        print(f"watching {arguments.group}", flush=True)
        try:
            watch(rx, feeds, arguments.timeout)
        finally:
            print(summary(rx, feeds))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
