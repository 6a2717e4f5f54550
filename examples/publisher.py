"""A publisher: sends numbered prices to a group, evenly spread over time.

    python3 examples/publisher.py
    python3 examples/publisher.py 239.1.2.3:5000 --interface eth0 --count 100 --rate 20

It keeps to this machine unless another interface is named. `subscriber.py`, `threads.py`, `numpy_batch.py` and
`gap_detector.py` understand what it sends: 16 octets, a number from 0 and a price.
"""

import argparse
import math
import struct
from collections.abc import Iterator

import multicast

RECORD = struct.Struct("!Qd")


def records(count: int, leave_out: int) -> Iterator[bytes]:
    """The messages; of every ``leave_out`` one is missing, as if the network had lost it (0: none)."""
    for number in range(count):
        if leave_out and number % leave_out == leave_out - 1:
            continue
        yield RECORD.pack(number, 100 + math.sin(number / 10))


def main() -> None:
    """Read the command line and publish."""
    parser = argparse.ArgumentParser(description="Sends numbered prices to a group.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument("--interface", default="127.0.0.1", help="name, index or address (%(default)s)")
    parser.add_argument("--count", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument("--rate", type=float, default=10.0, help="how many a second (%(default)s)")
    parser.add_argument("--leave-out", type=int, default=0, metavar="N", help="one of every N (none)")
    arguments = parser.parse_args()
    with multicast.Sender(arguments.group, interface=arguments.interface, rate=arguments.rate) as tx:
        tx.send_many(records(arguments.count, arguments.leave_out))
        print(tx.stats().sent, "sent")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
