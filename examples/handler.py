"""A handler of one's own in the documented server: it answers a question about the time, and leaves the rest alone.

    python3 examples/handler.py
    python3 -m multicast SAY --port 59595 --iface 127.0.0.1 --message what time is it

The server is one of the standard library's socketserver family. Ctrl-C ends it; nobody can end it from afar.
"""

import argparse
import datetime as dt

from multicast.hear import HearUDPHandler, McastServer


class TimeHandler(HearUDPHandler):
    """Prints each message, and sends the time to whoever asks for it."""

    def handle(self) -> None:
        """Handle one datagram: ``self.request`` is its payload and the server's socket."""
        payload, sock = self.request
        text = payload.decode("utf-8", "backslashreplace")
        print(self.client_address[0], text, flush=True)
        if "time" in text:
            now = dt.datetime.now(dt.timezone.utc)
            sock.sendto(now.isoformat(timespec="seconds").encode(), self.client_address)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Tells the time to whoever asks a group for it.")
    parser.add_argument("group", nargs="?", default="224.0.0.1", help="the group (%(default)s)")
    parser.add_argument("--port", type=int, default=59595, help="UDP port (%(default)s)")
    parser.add_argument("--interface", default="127.0.0.1", help="name, index or address (%(default)s)")
    arguments = parser.parse_args()
    place = (arguments.group, arguments.port)
    with McastServer(place, TimeHandler, iface=arguments.interface, stop=False) as server:
        print(f"serving on {arguments.group}, port {arguments.port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("ended")
