"""A subscriber: prints the prices that `publisher.py` sends.

    python3 examples/subscriber.py
    python3 examples/subscriber.py 239.1.2.3:5000 --interface eth0 --count 10

Ctrl-C ends it.
"""

import argparse
import itertools
import struct

import multicast

RECORD = struct.Struct("!Qd")


def main() -> None:
    """Read the command line and print what comes."""
    parser = argparse.ArgumentParser(description="Prints the prices that publisher.py sends.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument("--interface", default="127.0.0.1", help="name, index or address (%(default)s)")
    parser.add_argument("--count", type=int, help="end after so many (never)")
    arguments = parser.parse_args()
    with multicast.Receiver(arguments.group, interface=arguments.interface) as rx:
        print(f"listening on {arguments.group}", flush=True)
        for msg in itertools.islice(rx, arguments.count):
            if len(msg) != RECORD.size:
                print(f"{msg.sender[0]} sent {len(msg)} octets, which is no price", flush=True)
                continue
            number, price = RECORD.unpack(msg.data)
            print(f"{msg.sender[0]} #{number} {price:.2f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
