"""Helpers that run servers in a thread, and handlers that keep their requests. No tests."""

import contextlib
import queue
import socketserver
import threading
from collections.abc import Generator
from typing import Any

from multicast import Sender
from multicast.hear import McastServer

GROUP = "239.4.3.1"
OTHER = "239.4.3.2"
PATIENCE = 10.0
"""Seconds to wait for something that must arrive."""


class Keeping(socketserver.BaseRequestHandler):
    """Put each request into the queue ``kept`` of its server."""

    server: "KeepingServer"  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle(self) -> None:
        self.server.kept.put((self.request, self.client_address))


class KeepingServer(McastServer):
    """A server with a queue for the requests that its handlers keep."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.kept: queue.Queue[Any] = queue.Queue()
        super().__init__(*args, **options)

    def payloads(self, count: int) -> list[bytes]:
        """Wait for the next ``count`` payloads."""
        return [self.kept.get(timeout=PATIENCE)[0][0] for _ in range(count)]


@contextlib.contextmanager
def serving(server: McastServer, poll_interval: float = 0.02) -> Generator[threading.Thread, None, None]:
    """Run ``server`` in a thread that has ended when the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(poll_interval,))
    thread.start()
    try:
        yield thread
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def say(server: McastServer, *payloads: bytes, group: str = GROUP, iface: str = "127.0.0.1") -> None:
    """Send ``payloads`` to the port of ``server``."""
    with Sender(group, server.server_address[1], interface=iface) as sender:
        for payload in payloads:
            sender.send(payload)
