"""Receive in a trio program, with a plain receiver whose calls never block.

    python3 examples/trio_listen.py
    python3 examples/trio_listen.py 239.1.2.3:5000 eth0

Press Ctrl-C to stop.
"""

import argparse

import trio

from multicast import Batch, Receiver


async def receive(rx: Receiver, limit: int = 256) -> Batch:
    """Wait for a datagram, then return everything already queued, up to `limit`.

    If it is cancelled, it has consumed no datagram, because it never waits after it has received.
    """
    await trio.lowlevel.checkpoint()
    while True:
        try:
            return rx.recv_batch(limit, timeout=0)
        except TimeoutError:
            await trio.lowlevel.wait_readable(rx.fileno())


def close(rx: Receiver) -> None:
    """Close the receiver. Tasks that wait in `receive` get a `trio.ClosedResourceError`."""
    if not rx.closed:
        trio.lowlevel.notify_closing(rx.fileno())
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
    parser = argparse.ArgumentParser(description="Print the datagrams of a group, with trio.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "interface", nargs="?", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    options = parser.parse_args()
    trio.run(listen, options.group, options.interface)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
