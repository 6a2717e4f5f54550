"""numpy over a batch: the records of hundreds of datagrams become one array, without a Python object for any of them.

    python3 examples/numpy_batch.py
    python3 examples/publisher.py --count 20000 --rate 5000

Needs numpy. Ctrl-C ends it.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

import multicast

RECORD = np.dtype([("number", ">u8"), ("price", ">f8")])


def decode(batch: multicast.Batch) -> NDArray[np.void]:
    """Return the records of a batch; datagrams of another length are left out."""
    offsets, lengths = np.asarray(batch.offsets), np.asarray(batch.lengths)
    starts = offsets[lengths == RECORD.itemsize]
    # Datagrams lie apart from each other in the buffer: gather their octets, a row for each.
    octets = np.asarray(batch.data)[starts[:, np.newaxis] + np.arange(RECORD.itemsize)]
    records: NDArray[np.void] = octets.view(RECORD)[:, 0]
    return records


def main() -> None:
    """Read the command line and tell about each batch."""
    parser = argparse.ArgumentParser(description="Sums up the prices that publisher.py sends.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument("--interface", default="127.0.0.1", help="name, index or address (%(default)s)")
    parser.add_argument("--count", type=int, help="end after so many records (never)")
    arguments = parser.parse_args()
    total, low, high = 0, np.inf, -np.inf
    with multicast.Receiver(arguments.group, interface=arguments.interface) as rx:
        print(f"listening on {arguments.group}", flush=True)
        while arguments.count is None or total < arguments.count:
            records = decode(rx.recv_batch(max=1024))
            if not len(records):
                continue
            prices = records["price"]
            total, low, high = total + len(records), min(low, prices.min()), max(high, prices.max())
            print(f"{len(records)} records, {total} in all, between {low:.2f} and {high:.2f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
