"""`McastServer` with a handler that counts: ours and, in its own environment, that of the published release."""

import contextlib
import socketserver
import threading

from bench.receivers.base import Reader
from bench.stop import Stop
from multicast import hear


class Server(Reader):
    """Serve in a thread; each datagram is one call of a handler."""

    def __init__(self, group: str, port: int) -> None:
        self.got = 0
        self.goal = -1
        self.done = threading.Event()
        outer = self

        class Counting(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.got += 1
                if outer.got == outer.goal:
                    outer.done.set()

        self._server = hear.McastServer((group, port), Counting)

    def _serve(self, goal: int) -> int:
        self.got, self.goal = 0, goal
        self.done.clear()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        with contextlib.suppress(Stop):
            self.done.wait()
        return self.got

    def settle(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def take(self, count: int) -> int:
        return self._serve(count)

    def listen(self) -> int:
        return self._serve(-1)
