"""Send numbered prices to a group at a steady rate.

    python3 examples/publisher.py
    python3 examples/publisher.py 239.1.2.3:5000 --interface eth0 --count 100 --rate 20

Each datagram has 16 bytes: a number, counted from 0, and a price. `subscriber.py`, `threads.py`,
`numpy_batch.py` and `gap_detector.py` receive these datagrams.
"""

import argparse
import math
import struct
from collections.abc import Iterator

import multicast

RECORD = struct.Struct("!Qd")


def records(count: int, leave_out: int) -> Iterator[bytes]:
    """Yield `count` records. Skip one of every `leave_out`, as if the network had lost it (0: none)."""
    for number in range(count):
        if leave_out and number % leave_out == leave_out - 1:
            continue
        yield RECORD.pack(number, 100 + math.sin(number / 10))


def main() -> None:
    """Parse the command line and publish."""
    parser = argparse.ArgumentParser(description="Send numbered prices to a group.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=50, help="number of records (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10.0, help="records per second (default: %(default)s)")
    parser.add_argument(
        "--leave-out", type=int, default=0, metavar="N", help="skip one of every N (default: none)"
    )
    options = parser.parse_args()
    with multicast.Sender(options.group, interface=options.interface, rate=options.rate) as tx:
        tx.send_many(records(options.count, options.leave_out))
        print(tx.stats().sent, "sent")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
