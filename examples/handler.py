"""Use a custom handler with `McastServer`: reply to questions about the time and print everything else.

    python3 examples/handler.py
    python3 -m multicast SAY --port 59595 --iface 127.0.0.1 --message what time is it

`McastServer` is a `socketserver.UDPServer` of the 2.x tools. Press Ctrl-C to stop. A message cannot stop it.
"""

import argparse
import datetime as dt

from multicast.hear import HearUDPHandler, McastServer


class TimeHandler(HearUDPHandler):
    """Print each message, and send the time to the sender if the message contains "time"."""

    def handle(self) -> None:
        """Handle one datagram. `self.request` is its payload and the server's socket."""
        payload, sock = self.request
        text = payload.decode("utf-8", "backslashreplace")
        print(self.client_address[0], text, flush=True)
        if "time" in text:
            now = dt.datetime.now(dt.timezone.utc)
            sock.sendto(now.isoformat(timespec="seconds").encode(), self.client_address)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="Reply to questions about the time.")
    parser.add_argument("group", nargs="?", default="224.0.0.1", help="group address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=59595, help="UDP port (default: %(default)s)")
    parser.add_argument(
        "--interface", default="127.0.0.1", help="name, index or address (default: %(default)s)"
    )
    options = parser.parse_args()
    address = (options.group, options.port)
    with McastServer(address, TimeHandler, iface=options.interface, stop=False) as server:
        print(f"serving on {options.group}, port {options.port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
