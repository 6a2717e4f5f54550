"""Threads that share one receiver: each datagram goes to exactly one of them.

    python3 examples/threads.py
    python3 examples/publisher.py --count 200 --rate 100

Ctrl-C ends it: the main thread leaves the `with` block, which closes the receiver, and that ends every thread's wait.
"""

import argparse
import threading

import multicast


def work(rx: multicast.Receiver, handled: list[int], place: int) -> None:
    """Handle datagrams until the receiver is closed."""
    try:
        for msg in rx:
            handled[place] += 1
            # In one piece: lines of several threads would get mixed.
            print(f"thread {place}: {len(msg)} octets\n", end="", flush=True)
    except multicast.ClosedError:
        return


def main() -> None:
    """Read the command line, start the threads, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description="Shares one receiver among threads.")
    parser.add_argument("group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (%(default)s)")
    parser.add_argument("--interface", default="127.0.0.1", help="name, index or address (%(default)s)")
    parser.add_argument("--threads", type=int, default=4, help="how many (%(default)s)")
    arguments = parser.parse_args()
    handled = [0] * arguments.threads
    threads: list[threading.Thread] = []
    try:
        with multicast.Receiver(arguments.group, interface=arguments.interface) as rx:
            threads = [
                threading.Thread(target=work, args=(rx, handled, place)) for place in range(arguments.threads)
            ]
            for thread in threads:
                thread.start()
            print(f"listening on {arguments.group}", flush=True)
            for thread in threads:
                thread.join()
    except KeyboardInterrupt:
        # The receiver is closed by now, so whoever waited on it is about to end.
        for thread in threads:
            if thread.is_alive():
                thread.join()
    print(f"{sum(handled)} handled, by each thread: {handled}")


if __name__ == "__main__":
    main()
