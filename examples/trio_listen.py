"""A receiver in a trio program: the plain one, its calls that never block, and trio's wait for its descriptor.

    python3 examples/trio_listen.py
    python3 examples/trio_listen.py 239.1.2.3:5000 eth0

Ctrl-C ends it.
"""

import argparse

import trio

from multicast import Batch, Receiver


async def receive(rx: Receiver, most: int = 256) -> Batch:
    """Return the next datagrams; waits for one, then takes what is there.

    Cancelled at any time it has taken nothing: it waits first and takes last.
    """
    await trio.lowlevel.checkpoint()
    while True:
        try:
            return rx.recv_batch(most, timeout=0)
        except TimeoutError:
            await trio.lowlevel.wait_readable(rx.fileno())


def close(rx: Receiver) -> None:
    """Close it under tasks that wait in `receive`: they get a `trio.ClosedResourceError`."""
    if not rx.closed:
        trio.lowlevel.notify_closing(rx.fileno())
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
    parser = argparse.ArgumentParser(description="Prints what comes to a group, in a trio program.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument(
        "interface", nargs="?", default="127.0.0.1", help="name, index or address (%(default)s)"
    )
    arguments = parser.parse_args()
    trio.run(listen, arguments.group, arguments.interface)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
