"""A receiver in an anyio program, on asyncio or trio alike: its calls that never block, and anyio's wait.

    python3 examples/anyio_listen.py
    python3 examples/anyio_listen.py 239.1.2.3:5000 eth0 trio

Ctrl-C ends it. In a program that is for asyncio alone, `multicast.aio` does all of this by itself.
"""

import argparse

import anyio
import anyio.lowlevel

from multicast import Batch, Receiver


async def receive(rx: Receiver, most: int = 256) -> Batch:
    """Return the next datagrams; waits for one, then takes what is there.

    Cancelled at any time it has taken nothing: it waits first and takes last.
    """
    await anyio.lowlevel.checkpoint()
    while True:
        try:
            return rx.recv_batch(most, timeout=0)
        except TimeoutError:
            await anyio.wait_readable(rx.fileno())


def close(rx: Receiver) -> None:
    """Close it under tasks that wait in `receive`: they get an `anyio.ClosedResourceError`."""
    if not rx.closed:
        anyio.notify_closing(rx.fileno())
        rx.close()


async def listen(group: str, interface: str) -> None:
    """Print every datagram that comes to a group."""
    with Receiver(group, interface=interface) as rx:
        print(f"listening on {group}", flush=True)
        while True:
            for msg in await receive(rx):
                print(msg.sender[0], msg.data.decode(errors="backslashreplace"), flush=True)


def main() -> None:
    """Read the command line and listen."""
    parser = argparse.ArgumentParser(description="Prints what comes to a group, in an anyio program.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument(
        "interface", nargs="?", default="127.0.0.1", help="name, index or address (%(default)s)"
    )
    parser.add_argument("backend", nargs="?", default="asyncio", choices=["asyncio", "trio"])
    arguments = parser.parse_args()
    anyio.run(listen, arguments.group, arguments.interface, backend=arguments.backend)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
