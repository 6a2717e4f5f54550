"""The other end of a diagnosis: a host that sends probes on request, and reports what left it.

The two ends talk over TCP: one JSON object a line. A request to send is answered with what left. A request to listen is
answered with a token for the probes, and after the client has said what left it, with what was found.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...sync import Sender
from . import firewall
from .case import case_for
from .sniffer import open_sniffer

if TYPE_CHECKING:
    import collections
    from collections.abc import Callable, Generator
    from io import BufferedRWPair

    from ...endpoints import Endpoint
    from .case import Case
    from .sniffer import Sighting

_T = TypeVar("_T")

PORT = 59596
"""The TCP port of the other end."""
PROBES = 5
"""The number of probes with each TTL."""
TTLS = (1, 32)
"""The TTLs of the probes: one that no router forwards, and one for all routers of a site."""
MARK = b"multicast doctor "

PATIENCE = 5.0
"""Seconds to wait for the other end, beside those that the diagnosis takes."""

_LONGEST = 65536


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


_DEPARTURE_KINDS: dict[str, tuple[type, ...]] = {
    "interface": (str, type(None)),
    "error": (str, type(None)),
    "left": (int, type(None)),
    "streams": (dict,),
    "rules": (list,),
    "fix": (str,),
}
_RESULT_KINDS: dict[str, tuple[type, ...]] = {
    "findings": (list,),
    "received": (int,),
    "can_see_packets": (bool,),
}
_FINDING_KINDS: dict[str, tuple[type, ...]] = {
    "cause": (str,),
    "confidence": (str,),
    "proof": (dict,),
    "fix": (str,),
    "text": (str,),
}


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
    with _asking(host, seconds) as stream:
        write(stream, {"group": case.endpoint.group, "port": case.port, "token": token, "seconds": seconds})
        return departure(read(stream))


def let_listen(host: str, case: Case, seconds: float, on_joined: Callable[[], None] | None) -> dict[str, Any]:
    """Let the other end listen, send probes from here, and return what it found.

    Returns:
        The findings as dictionaries, ``received`` and ``can_see_packets``, as `Diagnosis` has them.

    Raises:
        OSError: The other end cannot be reached, or does not answer.
    """
    # It may listen twice.
    with _asking(host, 2 * seconds) as stream:
        write(stream, {"group": case.endpoint.group, "port": case.port, "listen": True, "seconds": seconds})
        answer = read(stream)
        if "token" in answer:
            if on_joined is not None:
                on_joined()
            write(stream, dataclasses.asdict(send_probes(case.endpoint, str(answer["token"]), seconds)))
            answer = read(stream)
        found = _of_kinds(_checked(answer, set(_RESULT_KINDS)), _RESULT_KINDS)
        for one in found["findings"]:
            if not isinstance(one, dict):
                raise ValueError(f"findings must not have {one!r}")  # noqa: TRY004 - as in `read`
            _of_kinds(_checked(cast("dict[str, Any]", one), set(_FINDING_KINDS)), _FINDING_KINDS)
        return found


@contextlib.contextmanager
def _asking(host: str, seconds: float) -> Generator[BufferedRWPair, None, None]:
    """Connect to the other end, which may need some seconds to answer."""
    try:
        # A signal cannot interrupt a lookup of a name, but this wait for it.
        connecting = in_background(lambda: socket.create_connection((host, PORT), timeout=PATIENCE))
        with connecting.result() as connection:
            connection.settimeout(seconds + PATIENCE)
            with connection.makefile("rwb") as stream:
                yield stream
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            getattr(error, "errno", None) or errno.EPROTO,
            f"cannot ask the peer {host}: {reason} (run 'multicast doctor --serve' there)",
        ) from error


def in_background(call: Callable[[], _T]) -> concurrent.futures.Future[_T]:
    """Call a function in a thread of its own, which does not keep the process from ending."""
    future: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - the future raises it
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future


def _checked(answer: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return an answer that has these fields.

    Raises:
        ValueError: It has others.
    """
    if answer.keys() != names:
        raise ValueError("it refused the request, which its standard error explains")
    return answer


def departure(answer: dict[str, Any]) -> Departure:
    """Return what left the other end, as it has written it.

    Raises:
        ValueError: It has written something else.
    """
    return Departure(**_of_kinds(_checked(answer, set(_DEPARTURE_KINDS)), _DEPARTURE_KINDS))


def _of_kinds(answer: dict[str, Any], kinds: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return an answer whose fields have these types.

    Raises:
        ValueError: A field has another type.
    """
    wrong = [name for name, types in kinds.items() if not isinstance(answer[name], types)]
    if wrong:
        raise ValueError(f"{wrong[0]} must not be {answer[wrong[0]]!r}")
    return answer


def write(stream: BufferedRWPair, message: dict[str, Any]) -> None:
    """Write a message as a line of JSON."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def read(stream: BufferedRWPair) -> dict[str, Any]:
    """Read a message; an empty one if the other end has closed the connection.

    Raises:
        ValueError: It is no JSON object on one line.
    """
    try:
        message: object = json.loads(stream.readline(_LONGEST) or b"{}")
    except RecursionError:
        raise ValueError("a message has too many levels") from None
    if not isinstance(message, dict):
        raise ValueError("a message must be a JSON object")  # noqa: TRY004 - what the other end sends is no argument
    return cast("dict[str, Any]", message)
