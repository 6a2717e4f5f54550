"""The other end of a diagnosis: a host that sends probes on request, and reports what left it.

The two ends talk over TCP: one JSON object a line, a request and an answer for each connection.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...endpoints import Endpoint
from ...sync import Sender
from . import firewall
from .case import case_for
from .sniffer import open_sniffer

if TYPE_CHECKING:
    import collections
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from .case import Case
    from .sniffer import Sighting

PORT = 59596
"""The TCP port of the other end."""
PROBES = 5
"""The number of probes with each TTL."""
TTLS = (1, 32)
"""The TTLs of the probes: one that no router forwards, and one for all routers of a site."""
MARK = b"multicast doctor "

_PATIENCE = 5.0
_PERIOD = 0.1
_LONGEST = 4096
_MOST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Departure:
    """The datagrams that left the other end, or the reason why none did."""

    interface: str | None
    """The interface that the probes left by; None if there is no route."""
    error: str | None
    """The name of the error of sending, such as ``EPERM``; None if the probes were sent."""
    left: int | None
    """Probes that were seen leaving; None if the other end may not see packets."""
    streams: dict[str, int]
    """Other datagrams to the group and port that were seen leaving, by their TTL."""
    rules: list[str]
    """Rules of its firewall that drop what it sends."""
    fix: str
    """A command for the other end that removes this obstacle."""


class Server:
    """Send probes for those who ask. A context manager.

    Raises:
        OSError: The TCP port cannot be bound.
    """

    def __init__(self) -> None:
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
            with connection:
                connection.settimeout(_PATIENCE)
                try:
                    yield client, self._serve(connection)
                except (OSError, ValueError, KeyError, TypeError) as error:
                    yield client, f"request refused: {error}"

    @staticmethod
    def _serve(connection: socket.socket) -> str:
        with connection.makefile("rwb") as stream:
            request = json.loads(stream.readline(_LONGEST))
            endpoint = Endpoint(str(request["group"]), int(request["port"]))
            seconds = min(float(request["seconds"]), _MOST_SECONDS)
            departure = send_probes(endpoint, str(request["token"])[:32], seconds)
            stream.write(json.dumps(dataclasses.asdict(departure)).encode() + b"\n")
        return str(endpoint)


def send_probes(endpoint: Endpoint, token: str, seconds: float) -> Departure:
    """Send probes to an endpoint with each TTL, watch what leaves for some seconds, and return the result.

    Raises:
        ValueError: The endpoint is not one group with a port.
    """
    case = case_for(endpoint)
    error: str | None = None
    sniffer = open_sniffer()
    if sniffer is None:
        error = _send(endpoint, token)
    else:
        with sniffer:
            error = _send(endpoint, token)
            threading.Event().wait(seconds)
    found = []
    if error == "EPERM":
        packet = firewall.Packet(None, endpoint.group, case.port, case.interface)
        found = firewall.blockers(packet, firewall.OUTPUT)
    left, streams = _leaving(case, None if sniffer is None else sniffer.seen, 0 if error else PROBES)
    return Departure(
        interface=case.interface or None,
        error=error,
        left=left,
        streams=streams,
        rules=[f"{one.table} {one.chain}: {one.reason}" for one in found],
        fix=" && ".join(one.fix for one in found),
    )


def _send(endpoint: Endpoint, token: str) -> str | None:
    """Send the probes; return the name of the error if the system refuses."""
    try:
        for ttl in TTLS:
            with Sender(endpoint, ttl=ttl, gso=False) as tx:
                tx.send_many([MARK + f"{token} {ttl}".encode()] * PROBES)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return None


def _leaving(
    case: Case, seen: collections.Counter[Sighting] | None, probes: int
) -> tuple[int | None, dict[str, int]]:
    """Return the probes that were seen leaving, and the other datagrams by their TTL."""
    if seen is None:
        return None, {}
    counts: dict[int, int] = {}
    for one, count in seen.items():
        if one.is_outgoing and (one.group, one.port) == (case.endpoint.group, case.port):
            counts[one.ttl] = counts.get(one.ttl, 0) + count
    left = sum(min(counts.get(ttl, 0), probes) for ttl in TTLS)
    others = {ttl: count - (probes if ttl in TTLS else 0) for ttl, count in counts.items()}
    return left, {str(ttl): count for ttl, count in sorted(others.items()) if count > 0}


def ask(host: str, case: Case, token: str, seconds: float) -> Departure:
    """Let the other end send probes, and return what left it.

    Raises:
        OSError: The other end cannot be reached, or does not answer.
    """
    request = {"group": case.endpoint.group, "port": case.port, "token": token, "seconds": seconds}
    try:
        with socket.create_connection((host, PORT), timeout=_PATIENCE) as connection:
            connection.settimeout(seconds + _PATIENCE)
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                answer: dict[str, Any] = json.loads(stream.readline(_LONGEST) or b"{}")
    except (OSError, ValueError) as error:
        raise OSError(
            getattr(error, "errno", None) or errno.EPROTO,
            f"cannot ask the peer {host}: {error} (run 'multicast doctor --serve' there)",
        ) from error
    if answer.keys() != {one.name for one in dataclasses.fields(Departure)}:
        raise OSError(
            errno.EPROTO, f"cannot ask the peer {host}: it refused the request (see its standard error)"
        )
    return Departure(**answer)
