"""The cost of a receiver for the other threads of its process."""

from bench import contestants as who
from bench.plan import Plan
from bench.record import Book
from bench.scenarios.traffic import recorded, source

_RATE = 100_000


def gil_contention(plan: Plan, book: Book) -> None:
    """Compare a thread that computes beside a receiving thread with one that computes alone, at 100,000/s."""
    seconds = plan.busy_ms / 1000
    for turn in range(plan.rounds):
        for entry in (who.BUSY_COLUMNS, who.BUSY_PAYLOADS, who.BUSY_STDLIB):
            port, speeds = who.new_port(), dict[str, float]()
            with (
                recorded(book, "gil_contention", entry),
                entry.start("gil_contention", port, None) as child,
                source(port, plan.cores[1], 100) as sender,
            ):
                for how in ("alone", "beside"):
                    # The traffic lasts longer than the measurement and is then stopped.
                    sender.tell(f"send {int(_RATE * (seconds + 5))} {_RATE}")
                    answer = child.ask(f"{how} {plan.busy_ms}")
                    sender.stop()
                    speeds[how] = answer["turns"] / seconds
                values = {
                    "alone_per_s": speeds["alone"],
                    "beside_per_s": speeds["beside"],
                    "share": speeds["beside"] / speeds["alone"],
                    "received_share": answer["datagrams"] / seconds / _RATE,
                }
                book.add(("gil_contention", entry.name, 100, False), turn, values)
