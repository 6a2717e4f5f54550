"""Receiving: drain, flood, held batches, McastServer at a steady rate, latency, and 1,000 groups."""

from collections.abc import Sequence

from bench import contestants as who
from bench.contestants import Contestant
from bench.plan import Plan
from bench.process import ChildFailedError, await_empty, queues
from bench.record import Book
from bench.scenarios.traffic import WARM, per_datagram, present, recorded, source

_MIB = 1 << 20
# How often a reader drains a full buffer, so that a short disturbance counts less.
_DRAINS = 3


def _contest(
    plan: Plan, book: Book, plain: Sequence[Contestant], coalesced: Sequence[Contestant]
) -> list[tuple[Contestant, int, bool]]:
    """Return all combinations of reader, size and kind of sender."""
    return [
        (entry, size, is_coalesced)
        for is_coalesced, entries in ((False, plain), (True, coalesced))
        for size in plan.sizes
        for entry in present(book, entries)
    ]


def _drain_once(
    entry: Contestant, plan: Plan, size: int, *, coalesced: bool = False, groups: int = 1
) -> dict[str, float]:
    """Fill the receive buffer, then measure the reading."""
    port, (mine, other) = who.new_port(), plan.cores
    scale = 10 if coalesced else 1
    wanted = plan.drain * scale // (5 if entry.slow else 1)
    with (
        entry.start("recv", port, mine, size=size, force=1) as reader,
        source(port, other, size, coalesced=coalesced, groups=groups) as sender,
    ):
        # The kernel charges a queued datagram with its bookkeeping, which is less than this.
        count = min(wanted, int(reader.ready["buffer"]) // (2 * size + 1536))
        answers: list[dict[str, float]] = []
        for amount in (min(WARM * scale, count), *[count] * _DRAINS):
            sender.ask(f"send {amount} 0")
            dropped = queues(port)[1]
            if dropped:
                raise ChildFailedError(
                    f"the receive buffer overflowed ({dropped} dropped) before the reading began"
                )
            answer = reader.ask(f"take {amount}")
            if answer["datagrams"] < amount:
                raise ChildFailedError(f"only {answer['datagrams']} of {amount} datagrams arrived")
            answers.append(answer)
    totals = ("datagrams", "cpu_ns", "wall_ns")
    return per_datagram({total: sum(answer[total] for answer in answers[1:]) for total in totals})


def drain(plan: Plan, book: Book) -> None:
    """Fill a large receive buffer and then read it, without a sender at the same time."""
    rows = _contest(plan, book, who.PLAIN_RECEIVERS, who.COALESCED_RECEIVERS)
    for turn in range(plan.rounds):
        for entry, size, coalesced in rows:
            with recorded(book, "drain", entry):
                values = _drain_once(entry, plan, size, coalesced=coalesced)
                book.add(("drain", entry.name, size, coalesced), turn, values)


def _listen_once(
    entry: Contestant, plan: Plan, size: int, count: int, *, rate: int = 0, coalesced: bool = False
) -> dict[str, float]:
    """Send while the contestant reads with its own receive buffer (the floor: 4 MiB)."""
    port, (mine, other) = who.new_port(), plan.cores
    own = {"buffer": 4 * _MIB} if entry.home == "floor" else {}
    with (
        entry.start("recv", port, mine, size=size, **own) as reader,
        source(port, other, size, coalesced=coalesced) as sender,
    ):
        reader.tell("listen")
        sent = sender.ask(f"send {count} {rate}", patience=30 + count / (rate or 10_000))
        await_empty(port)
        answer = reader.stop()
    values = per_datagram(answer)
    values.pop("wall_ns", None)  # it includes the wait for the end
    values["lost"] = count - answer["datagrams"]
    values["lost_share"] = values["lost"] / count
    values["sent_per_s"] = count / (sent["wall_ns"] / 1e9)
    values["both_ns"] = (answer["cpu_ns"] + sent["cpu_ns"]) / count
    if "kernel_drops" in answer:
        values["kernel_drops"] = answer["kernel_drops"]
    return values


def flood(plan: Plan, book: Book) -> None:
    """Send and receive at the same time, as fast as the sender can, which shows losses."""
    rows = _contest(plan, book, who.FLOOD_RECEIVERS, who.FLOOD_COALESCED_RECEIVERS)
    for turn in range(plan.rounds):
        for entry, size, coalesced in rows:
            with recorded(book, "flood", entry):
                count = plan.flood * (10 if coalesced else 1) // (5 if entry.slow else 1)
                values = _listen_once(entry, plan, size, count, coalesced=coalesced)
                book.add(("flood", entry.name, size, coalesced), turn, values)


def holding(plan: Plan, book: Book) -> None:
    """Compare a program that holds 32 batches with one that holds only the last."""
    for turn in range(plan.rounds):
        for size in plan.sizes:
            for entry in (who.COLUMNS, who.HELD_COLUMNS):
                with recorded(book, "holding", entry):
                    values = _drain_once(entry, plan, size)
                    book.add(("holding", entry.name, size, False), turn, values)


def server(plan: Plan, book: Book) -> None:
    """Send 50,000/s to McastServer and to loops, then lower rates to the published McastServer and to ours."""
    for scenario, entries, count, rate in (
        ("server", (who.STDLIB, who.ITERATE, who.SERVER), plan.server, 50_000),
        ("server at 200/s", (who.PUBLISHED_SERVER, who.SERVER), plan.published, 200),
        ("server at 20,000/s", (who.PUBLISHED_SERVER, who.SERVER), plan.published * 20, 20_000),
    ):
        for entry in present(book, entries):
            with recorded(book, scenario, entry):
                values = _listen_once(entry, plan, 100, count, rate=rate)
                book.add((scenario, entry.name, 100, False), 0, values)


def latency(plan: Plan, book: Book) -> None:
    """Measure one way at 1,000/s, from the sender's clock to the receiver's."""
    entries = (
        who.FLOOR,
        who.STDLIB,
        who.STDLIB_SMALL,
        who.RECV,
        who.SPIN_RECV,
        who.ITERATE,
        who.AIO,
        who.ASYNCIO,
        who.UVLOOP,
    )
    mine, other = plan.cores
    for turn in range(plan.rounds):
        for entry in present(book, entries):
            port = who.new_port()
            with (
                recorded(book, "latency", entry),
                entry.start("recv", port, mine, size=100) as reader,
                source(port, other, 100, stamp=1) as sender,
            ):
                reader.tell("latency")
                sender.ask(f"send {plan.latency} 1000", patience=30 + plan.latency / 1000)
                await_empty(port)
                book.add(("latency", entry.name, 100, False), turn, reader.stop())


def groups(plan: Plan, book: Book) -> None:
    """Compare 1,000 groups on one receiver with one group."""
    for turn in range(plan.rounds):
        for entry, count in ((who.COLUMNS, 1), (who.GROUPS, 1000)):
            with recorded(book, "groups", entry):
                values = _drain_once(entry, plan, 100, groups=count)
                book.add(("groups", entry.name, 100, False), turn, values)
