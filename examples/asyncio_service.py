"""A service on asyncio: it counts what each sender sends to a group, and tells the totals to another group.

    python3 examples/asyncio_service.py
    python3 examples/asyncio_service.py 239.1.2.3:5000 239.1.2.4:5001 eth0

Ctrl-C or SIGTERM ends it. Several tasks share one event loop here, and none of them keeps the others from their work,
however fast the datagrams come.
"""

import argparse
import asyncio
import json
import signal
from collections import Counter

from multicast import aio


async def count(rx: aio.Receiver, totals: Counter[str]) -> None:
    """Count datagrams by their sender's address."""
    async for msg in rx:
        totals[msg.sender[0]] += 1


async def announce(tx: aio.Sender, totals: Counter[str], seconds: float) -> None:
    """Tell the totals every so many seconds."""
    while True:
        await asyncio.sleep(seconds)
        await tx.send(json.dumps(totals).encode())


async def serve(listen: str, tell: str, interface: str | None, seconds: float) -> Counter[str]:
    """Serve until a signal says stop, or a task fails; return the totals."""
    totals: Counter[str] = Counter()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aio.Receiver(listen, interface=interface) as rx, aio.Sender(tell, interface=interface) as tx:
        jobs = [count(rx, totals), announce(tx, totals, seconds), stop.wait()]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        print(f"counting on {listen}", flush=True)
        done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.wait(tasks)
        for task in done:
            task.result()  # raises what made the task fail
        lost = rx.stats().kernel_drops
        print(f"{sum(totals.values())} datagrams from {len(totals)} senders, {lost} lost here", flush=True)
    return totals


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        description="Counts what comes to a group and tells the totals to another."
    )
    parser.add_argument(
        "listen", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT to count (%(default)s)"
    )
    parser.add_argument(
        "tell", nargs="?", default="239.1.2.4:5001", help="GROUP:PORT to tell the totals to (%(default)s)"
    )
    parser.add_argument(
        "interface", nargs="?", default="127.0.0.1", help="name, index or address (%(default)s)"
    )
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.listen, arguments.tell, arguments.interface, arguments.every))


if __name__ == "__main__":
    main()
