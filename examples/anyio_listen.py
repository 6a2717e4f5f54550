"""Receive in an anyio program, on asyncio or trio, with a plain receiver whose calls never block.

    python3 examples/anyio_listen.py
    python3 examples/anyio_listen.py 239.1.2.3:5000 eth0 trio

Press Ctrl-C to stop. If your program only uses asyncio, `multicast.aio` is simpler.
"""

import argparse

import anyio
import anyio.lowlevel

from multicast import Batch, Receiver


async def receive(rx: Receiver, limit: int = 256) -> Batch:
    """Wait for a datagram, then return everything already queued, up to `limit`.

    If it is cancelled, it has consumed no datagram, because it never waits after it has received.
    """
    await anyio.lowlevel.checkpoint()
    while True:
        try:
            return rx.recv_batch(limit, timeout=0)
        except TimeoutError:
            await anyio.wait_readable(rx.fileno())


def close(rx: Receiver) -> None:
    """Close the receiver. Tasks that wait in `receive` get an `anyio.ClosedResourceError`."""
    if not rx.closed:
        anyio.notify_closing(rx.fileno())
        rx.close()


async def listen(group: str, interface: str) -> None:
    """Print every datagram of a group."""
    with Receiver(group, interface=interface) as rx:
        print(f"listening on {group}", flush=True)
        while True:
            for msg in await receive(rx):
                print(msg.sender[0], msg.data.decode(errors="backslashreplace"), flush=True)


def main() -> None:
    """Parse the command line and listen."""
    parser = argparse.ArgumentParser(description="Print the datagrams of a group, with anyio.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "interface", nargs="?", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument(
        "backend", nargs="?", default="asyncio", choices=["asyncio", "trio"], help="default: %(default)s"
    )
    options = parser.parse_args()
    anyio.run(listen, options.group, options.interface, backend=options.backend)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
