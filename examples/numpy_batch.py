"""Decode the records of a batch into one NumPy array, without a Python object for each datagram.

    python3 examples/numpy_batch.py
    python3 examples/publisher.py --count 20000 --rate 5000

Requires NumPy. Press Ctrl-C to stop.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

import multicast

RECORD = np.dtype([("number", ">u8"), ("price", ">f8")])


def decode(batch: multicast.Batch) -> NDArray[np.void]:
    """Return the records of a batch. Datagrams of another length are skipped."""
    offsets, lengths = np.asarray(batch.offsets), np.asarray(batch.lengths)
    starts = offsets[lengths == RECORD.itemsize]
    # Datagrams are not adjacent in the buffer, so gather their bytes, one row each.
    rows: NDArray[np.uint8] = np.asarray(batch.data)[starts[:, np.newaxis] + np.arange(RECORD.itemsize)]
    records: NDArray[np.void] = rows.view(RECORD)[:, 0]
    return records


def main() -> None:
    """Parse the command line and print a line for each batch."""
    parser = argparse.ArgumentParser(description="Print the range of the prices that publisher.py sends.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, help="stop after this many records (default: never)")
    options = parser.parse_args()
    total, low, high = 0, np.inf, -np.inf
    with multicast.Receiver(options.group, interface=options.interface) as rx:
        print(f"listening on {options.group}", flush=True)
        while options.count is None or total < options.count:
            records = decode(rx.recv_batch(limit=1024))
            if not len(records):
                continue
            prices = records["price"]
            total, low, high = total + len(records), min(low, prices.min()), max(high, prices.max())
            print(f"{len(records)} records, {total} in total, from {low:.2f} to {high:.2f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
