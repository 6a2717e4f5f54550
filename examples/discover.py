"""Find the programs that answer in a group.

    python3 examples/discover.py --answer kitchen
    python3 examples/discover.py

Press Ctrl-C to stop answering.
"""

import argparse

import multicast

QUESTION = b"who is there?"


def answer(group: str, interface: str, name: str) -> None:
    """Answer every question in the group with a name, until Ctrl-C."""
    with multicast.Receiver(group, interface=interface) as rx:
        print(f"answering on {group} as {name}", flush=True)
        for msg in rx:
            if msg.data == QUESTION:
                rx.reply(msg, name.encode())


def ask(group: str, interface: str, seconds: float) -> int:
    """Ask the group once, print each answer, and return how many there were."""
    count = 0
    with multicast.Sender(group, interface=interface) as tx:
        for found in tx.query(QUESTION, timeout=seconds):
            print(f"{found.data.decode(errors='replace')} at {found.sender[0]}", flush=True)
            count += 1
    return count


def main() -> None:
    """Parse the command line, then answer or ask."""
    parser = argparse.ArgumentParser(description="Find the programs that answer in a group.")
    parser.add_argument(
        "group", nargs="?", default="239.1.2.3:5123", help="GROUP:PORT (default: %(default)s)"
    )
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=1.0, help="seconds to collect answers (default: %(default)s)"
    )
    parser.add_argument("--answer", metavar="NAME", help="answer questions under this name instead of asking")
    options = parser.parse_args()
    if options.answer:
        answer(options.group, options.interface, options.answer)
    else:
        print(f"{ask(options.group, options.interface, options.timeout)} found")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
