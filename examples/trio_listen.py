"""A receiver in a trio program: the plain one, its calls that never block, and trio's wait for its descriptor.

    python3 examples/trio_listen.py 239.1.2.3:5000 lo

Ctrl-C ends it.
"""

import sys

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


if __name__ == "__main__":
    try:
        trio.run(listen, sys.argv[1], sys.argv[2])
    except KeyboardInterrupt:
        print("ended")
