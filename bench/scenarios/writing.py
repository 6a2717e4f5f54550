"""Sending to a group that no socket has joined, so that the sender does not pay for the delivery on this machine."""

from bench import contestants as who
from bench.plan import Plan
from bench.record import Book
from bench.scenarios.traffic import SEGMENTS, WARM, per_datagram, present, recorded


def sending(plan: Plan, book: Book) -> None:
    """Measure the cost of a datagram for its sender."""
    entries = present(book, who.SENDERS)
    for turn in range(plan.rounds):
        for size in plan.sizes:
            for entry in entries:
                coalesces = entry in (who.FLOOR_GSO, who.SEND_MANY)
                count = plan.sending * (10 if coalesces else 1)
                # The floor takes a rate (0: as fast as possible) and the number of datagrams to coalesce.
                more = {"segments": SEGMENTS[size]} if entry is who.FLOOR_GSO else {}
                rate = " 0" if entry.home == "floor" else ""
                with (
                    recorded(book, "sending", entry),
                    entry.start("send", who.new_port(), plan.cores[0], size=size, **more) as child,
                ):
                    child.ask(f"send {WARM}{rate}")
                    values = per_datagram(child.ask(f"send {count}{rate}"))
                    book.add(("sending", entry.name, size, False), turn, values)
