"""Share one receiver among threads: each datagram goes to exactly one of them.

    python3 examples/threads.py
    python3 examples/publisher.py --count 200 --rate 100

Press Ctrl-C to stop. The main thread then leaves the `with` block, which closes the receiver and ends
the loop of every thread.
"""

import argparse
import threading

import multicast


def work(rx: multicast.Receiver, handled: list[int], place: int) -> None:
    """Handle datagrams until the receiver is closed."""
    for msg in rx:
        handled[place] += 1
        # One string with the line feed, so that the lines of two threads cannot mix.
        print(f"thread {place}: {len(msg)} bytes\n", end="", flush=True)


def main() -> None:
    """Parse the command line, start the threads, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description="Share one receiver among threads.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5000", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=4, help="number of threads (default: %(default)s)")
    options = parser.parse_args()
    handled = [0] * options.threads
    threads: list[threading.Thread] = []
    try:
        with multicast.Receiver(options.group, interface=options.interface) as rx:
            threads = [
                threading.Thread(target=work, args=(rx, handled, place)) for place in range(options.threads)
            ]
            for thread in threads:
                thread.start()
            print(f"listening on {options.group}", flush=True)
            for thread in threads:
                # A Ctrl-C just before the thread sleeps is noticed only when it wakes up.
                while thread.is_alive():
                    thread.join(0.5)
    except KeyboardInterrupt:
        # The receiver is closed, so every thread that was started is about to end.
        for thread in threads:
            if thread.is_alive():
                thread.join()
    print(f"{sum(handled)} handled, by thread: {handled}")


if __name__ == "__main__":
    main()
