"""Count the datagrams of each sender in a group, and send the totals to another group.

    python3 examples/asyncio_service.py
    python3 examples/asyncio_service.py 239.1.2.3:5000 239.1.2.4:5001 eth0

Press Ctrl-C or send SIGTERM to stop. The tasks share one event loop, and each of them gets its turn, no
matter how fast datagrams arrive.
"""

import argparse
import asyncio
import json
import signal
from collections import Counter

from multicast import aio


async def count(rx: aio.Receiver, totals: Counter[str]) -> None:
    """Count datagrams by the address of their sender."""
    async for msg in rx:
        totals[msg.sender[0]] += 1


async def announce(tx: aio.Sender, totals: Counter[str], seconds: float) -> None:
    """Send the totals every `seconds` seconds."""
    while True:
        await asyncio.sleep(seconds)
        await tx.send(json.dumps(totals).encode())


async def serve(listen: str, report: str, interface: str, seconds: float) -> Counter[str]:
    """Serve until a signal arrives or a task fails, and return the totals."""
    totals: Counter[str] = Counter()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aio.Receiver(listen, interface=interface) as rx, aio.Sender(report, interface=interface) as tx:
        jobs = [count(rx, totals), announce(tx, totals, seconds), stop.wait()]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        print(f"counting on {listen}", flush=True)
        done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.wait(tasks)
        for task in done:
            task.result()  # raises the error of a task that failed
        dropped = rx.stats().kernel_drops
        print(
            f"{sum(totals.values())} datagrams, senders: {len(totals)}, dropped here: {dropped}", flush=True
        )
    return totals


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        description="Count the datagrams of each sender in a group, and send the totals to another group."
    )
    parser.add_argument(
        "listen", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT to count (default: %(default)s)"
    )
    parser.add_argument(
        "report",
        nargs="?",
        default="239.1.2.4:5001",
        help="GROUP:PORT to send totals to (default: %(default)s)",
    )
    parser.add_argument(
        "interface", nargs="?", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument(
        "--every",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="time between reports (default: %(default)s)",
    )
    options = parser.parse_args()
    asyncio.run(serve(options.listen, options.report, options.interface, options.every))


if __name__ == "__main__":
    main()
