"""`multicast.Receiver` with `engine="packet"`, in each way that it can be read."""

from bench.receivers import ours


class Columns(ours.Columns):
    """Batches read as columns."""

    engine = "packet"


class Payloads(ours.Payloads):
    """Batches converted to lists of bytes."""

    engine = "packet"


class Iterate(ours.Iterate):
    """The `for` loop, which reads the data and the sender of each datagram."""

    engine = "packet"
