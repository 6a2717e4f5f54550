"""Counting, for one datagram, the system calls and allocations of the process that receives or sends it."""

import time

from bench import contestants as who
from bench.contestants import Contestant
from bench.counting import KINDS
from bench.plan import Plan
from bench.process import Child, ChildFailedError, queues
from bench.record import Book
from bench.scenarios.traffic import WARM, present, recorded, source

READERS = (
    who.STDLIB, who.ASYNCIO, who.UVLOOP,
    who.COLUMNS, who.PAYLOADS, who.ITERATE, who.RECV, who.AIO, who.ENDPOINT, who.SERVER,
)  # fmt: skip
WRITERS = (who.STDLIB_SENDTO, who.SEND, who.SEND_MANY, who.SEND_MANY_MIXED)
_SIZE = 100


def _per_datagram(answer: dict[str, float]) -> dict[str, float]:
    count = answer["datagrams"]
    if not count:
        raise ChildFailedError("no datagram arrived")
    return {kind: answer[kind] / count for kind in KINDS}


def _queued(entry: Contestant, reader: Child, sender: Child, count: int) -> dict[str, float]:
    """Count while `reader` empties a full buffer."""
    for amount in (WARM, count):
        sender.ask(f"send {amount} 0")
        answer = reader.ask(f"take {amount}")
    if answer["datagrams"] < count:
        raise ChildFailedError(f"only {answer['datagrams']} of {count} datagrams arrived for {entry.name}")
    return _per_datagram(answer)


def _single(port: int, reader: Child, sender: Child, count: int) -> dict[str, float]:
    """Count while each datagram is sent after the one before was read, so that `reader` waits for it."""
    reader.tell("listen")
    for _ in range(count):
        sender.ask("send 1 0")
        # No event reports that another process waits again: it needs some microseconds, and gets milliseconds.
        while queues(port)[0]:
            time.sleep(0.001)
        time.sleep(0.003)
    return _per_datagram(reader.stop())


def counting(plan: Plan, book: Book) -> None:
    """Count the calls of each way to receive and to send. The machine has no influence, so one round is enough."""
    mine, other = plan.cores
    for entry in present(book, READERS):
        for coalesced in (False, True):
            port = who.new_port()
            with (
                recorded(book, "counting", entry),
                entry.start_counted("recv", port, mine, size=_SIZE, force=1) as reader,
                source(port, other, _SIZE, coalesced=coalesced) as sender,
            ):
                values = _queued(entry, reader, sender, plan.counted)
                book.add(("counting queued", entry.name, _SIZE, coalesced), 0, values)
    for entry in present(book, (*READERS, who.PACKET_COLUMNS)):
        port = who.new_port()
        with (
            recorded(book, "counting", entry),
            entry.start_counted("recv", port, mine, size=_SIZE) as reader,
            source(port, other, _SIZE) as sender,
        ):
            book.add(
                ("counting single", entry.name, _SIZE, False),
                0,
                _single(port, reader, sender, plan.counted // 16),
            )
    for entry in present(book, WRITERS):
        with (
            recorded(book, "counting", entry),
            entry.start_counted("send", who.new_port(), mine, size=_SIZE) as writer,
        ):
            writer.ask(f"send {WARM}")
            values = _per_datagram(writer.ask(f"send {plan.counted}"))
            book.add(("counting sent", entry.name, _SIZE, False), 0, values)
