"""The numbered datagrams that ``multicast send --numbered`` sends and ``multicast measure`` understands.

The payload begins with 24 bytes in network byte order; zeros follow, up to the size that was chosen:

====== ===== ==========================================================
Offset Bytes Meaning
====== ===== ==========================================================
0      4     the magic ``MCN1``
4      4     identifier of the run, chosen at random when a sender starts
8      8     sequence number, from 0
16     8     time of sending, in nanoseconds since 1970
====== ===== ==========================================================
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("!4sIQQ")
"""The first bytes of a numbered datagram: magic, run, sequence number, time in nanoseconds."""

MAGIC = b"MCN1"
"""The first four bytes."""


def numbered(run: int, sequence: int, time_ns: int, size: int = HEADER.size) -> bytes:
    """Return a numbered datagram.

    Args:
        run: identifier of the run, 32 bits.
        sequence: its number, 64 bits.
        time_ns: the time of sending, in nanoseconds since 1970.
        size: its size in bytes, at least 24.
    """
    return HEADER.pack(MAGIC, run, sequence, time_ns).ljust(size, b"\0")
