"""`multicast.Sender`: one call for each datagram, or one call for each list."""

import multicast
from bench.senders.calls import Writer

# send_many gets lists of this length, as a program with a queue of messages would pass.
_LIST = 1024


def send(group: str, port: int, size: int) -> Writer:
    """Return a writer with `Sender.send`."""
    tx = multicast.Sender(group, port, interface="lo")
    payload = bytes(size)

    def write(count: int) -> int:
        one = tx.send
        for _ in range(count):
            one(payload)
        return count

    return write


def _many(group: str, port: int, messages: list[bytes]) -> Writer:
    tx = multicast.Sender(group, port, interface="lo")

    def write(count: int) -> int:
        full, rest = divmod(count, len(messages))
        return sum(tx.send_many(messages) for _ in range(full)) + tx.send_many(messages[:rest])

    return write


def equal(group: str, port: int, size: int) -> Writer:
    """Return a writer with `Sender.send_many` for datagrams of equal size."""
    return _many(group, port, [bytes(size) for _ in range(_LIST)])


def mixed(group: str, port: int, size: int) -> Writer:
    """Return a writer with `Sender.send_many` for sizes that alternate as in `floor.c`, so that nothing coalesces."""
    return _many(group, port, [bytes(size + i % 16) for i in range(_LIST)])
