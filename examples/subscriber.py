"""Print the prices that `publisher.py` sends.

    python3 examples/subscriber.py
    python3 examples/subscriber.py 239.1.2.3:5000 --interface eth0 --count 10

Press Ctrl-C to stop.
"""

import argparse
import itertools
import struct

import multicast

RECORD = struct.Struct("!Qd")


def main() -> None:
    """Parse the command line and print prices."""
    parser = argparse.ArgumentParser(description="Print the prices that publisher.py sends.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, help="stop after this many datagrams (default: never)")
    options = parser.parse_args()
    with multicast.Receiver(options.group, interface=options.interface) as rx:
        print(f"listening on {options.group}", flush=True)
        for msg in itertools.islice(rx, options.count):
            if len(msg) != RECORD.size:
                print(f"{msg.sender[0]} sent {len(msg)} bytes, not a price", flush=True)
                continue
            number, price = RECORD.unpack(msg.data)
            print(f"{msg.sender[0]} #{number} {price:.2f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
