"""The server of a diagnosis with two ends: it sends probes, or listens to them, for those who ask."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from typing import TYPE_CHECKING, Any

from ... import _arguments
from ...endpoints import Endpoint
from .peer import PATIENCE, PORT, Departure, departure, read, send_probes, write
from .two_ended import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from io import BufferedRWPair

    from typing_extensions import Self

    from .case import Case

_PERIOD = 0.1
_MOST_SECONDS = 30.0


class Server:
    """Send probes for those who ask, or listen to theirs. A context manager.

    Raises:
        OSError: The TCP port cannot be bound.
    """

    def __init__(self) -> None:
        if socket.has_dualstack_ipv6():
            self._listening = socket.create_server(("", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            self._listening = socket.create_server(("", PORT))
        self._listening.settimeout(_PERIOD)

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return PORT

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def served(self, is_over: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """Serve one request after the other, and yield the address of the client and the endpoint, or the error.

        Ends when ``is_over`` returns true, which is called at least every 0.1 s.
        """
        while not is_over():
            try:
                connection, (client, *_) = self._listening.accept()
            except TimeoutError:
                continue
            client = client.removeprefix("::ffff:")  # IPv4 at a socket for both versions
            with connection:
                connection.settimeout(PATIENCE)
                try:
                    yield client, self._serve(connection, client)
                except KeyError as error:
                    yield client, f"request refused: {error} is missing"
                except (OSError, ValueError, TypeError, OverflowError) as error:
                    yield client, f"request refused: {error}"

    @staticmethod
    def _serve(connection: socket.socket, client: str) -> str:
        with connection.makefile("rwb") as stream:
            with _hurried(connection):
                request = read(stream)
            endpoint = Endpoint(
                str(request["group"]), _arguments.whole_number("port", request["port"], 1, 65535)
            )
            seconds = min(float(request["seconds"]), _MOST_SECONDS)
            if not seconds >= 0:
                raise ValueError(f"seconds must be a number from 0, got {seconds}")
            if request.get("listen"):
                connection.settimeout(seconds + PATIENCE)
                write(stream, _listen(stream, endpoint, client, seconds))
            else:
                sent = send_probes(endpoint, str(request["token"])[:32], seconds)
                write(stream, dataclasses.asdict(sent))
        return str(endpoint)


@contextlib.contextmanager
def _hurried(connection: socket.socket) -> Generator[None, None, None]:
    """End the connection if the block takes too long: others wait for their turn."""

    def end() -> None:
        # Fails if the client has ended it.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(PATIENCE, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _listen(stream: BufferedRWPair, endpoint: Endpoint, client: str, seconds: float) -> dict[str, Any]:
    """Listen to the probes of a client, and return what was found."""

    def let_send(_: Case, token: str) -> Departure:
        write(stream, {"token": token})
        return departure(read(stream))

    found = compare(endpoint, client, let_send, duration=seconds)
    return {
        "findings": [dataclasses.asdict(one) for one in found.findings],
        "received": found.received,
        "can_see_packets": found.can_see_packets,
    }
