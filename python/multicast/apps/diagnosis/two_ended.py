"""The diagnosis with a peer: it sends, this host listens, and both compare."""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING

from ... import endpoints
from ..routes import router_for
from . import before, peer
from .case import case_for
from .diagnose import Diagnosis, result, why_nothing
from .finding import Finding, datagrams
from .listening import hear_everywhere, observe
from .outages import Outages

if TYPE_CHECKING:
    import collections
    import concurrent.futures
    from collections.abc import Callable

    from ...endpoints import Endpoint
    from .case import Case
    from .listening import Observation
    from .peer import Departure


def diagnose_with_peer(
    endpoint: str | Endpoint,
    host: str,
    *,
    duration: float = 3.0,
    on_joined: Callable[[], None] | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> Diagnosis:
    """Find out why what another host sends does not arrive here.

    The other host runs ``multicast doctor --serve``. It sends a few datagrams to the group and port on request.

    Args:
        endpoint: one group with its port, such as ``"239.1.2.3:5000%eth0"``.
        host: the name or address of the other host.
        duration: seconds to listen, above 0.
        on_joined: called once the group is joined.
        is_over: called often; ends the listening early when it returns true.

    Raises:
        ValueError: The endpoint has no port, is not one group, or names an unknown interface.
        OSError: The endpoint cannot be received, or the other host cannot be asked.
    """
    return compare(
        endpoint,
        host,
        lambda case, token: peer.ask(host, case, token, duration),
        duration=duration,
        on_joined=on_joined,
        is_over=is_over,
    )


def diagnose_at_peer(
    endpoint: str | Endpoint, host: str, *, duration: float = 3.0, on_joined: Callable[[], None] | None = None
) -> Diagnosis:
    """Find out why what this host sends does not arrive at another host.

    The other host runs ``multicast doctor --serve``. It joins the group and listens, while this host sends a few
    datagrams to the group and port.

    Args:
        endpoint: one group with its port, and optionally the interface to send by.
        host: the name or address of the other host.
        duration: seconds for which the other host listens, above 0.
        on_joined: called once the other host has joined the group.

    Raises:
        ValueError: The endpoint has no port, is not one group, or names an unknown interface.
        OSError: The other host cannot be asked.
    """
    case = case_for(endpoints.from_argument(endpoint))
    answer = peer.let_listen(host, case, duration, on_joined)
    found = [Finding(**one) for one in answer["findings"]]
    return Diagnosis(
        endpoint=case.endpoint,
        interface=case.interface or None,
        findings=tuple(
            dataclasses.replace(
                one, text=f"seen from {host}: {one.text}", proof={"seen_from": host, **one.proof}
            )
            for one in found
        ),
        received=answer["received"],
        can_see_packets=answer["can_see_packets"],
    )


def compare(
    endpoint: str | Endpoint,
    host: str,
    let_send: Callable[[Case, str], Departure],
    *,
    duration: float,
    on_joined: Callable[[], None] | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> Diagnosis:
    """Listen to the probes of another host, and compare what left it with what arrived.

    Args:
        endpoint: as for `diagnose_with_peer`.
        host: the name or address of the other host.
        let_send: lets the other host send probes with this token, and returns what left it.
        duration: seconds to listen, above 0.
        on_joined: called once the group is joined.
        is_over: called often; ends the listening early when it returns true.

    Raises:
        ValueError: The endpoint has no port, is not one group, or names an unknown interface.
        OSError: The endpoint cannot be received, or the other host cannot be asked.
    """
    case = case_for(endpoints.from_argument(endpoint))
    known = before.findings(case)
    if known:
        return result(case, known, None)
    token = secrets.token_hex(8)
    with Outages(case) as outages:
        asked: list[concurrent.futures.Future[Departure]] = []

        def start() -> None:
            asked.append(peer.in_background(lambda: let_send(case, token)))
            if on_joined is not None:
                on_joined()

        mark = peer.MARK + token.encode()
        observed = observe(case.endpoint, duration, outages, on_joined=start, is_over=is_over, mark=mark)
        departure = asked[0].result()
        ends = _Ends(case, host, departure, observed, outages)
        return result(case, [_of_probes(ends) or _of_silence(ends, duration)], observed)


@dataclasses.dataclass(frozen=True, slots=True)
class _Ends:
    """The observations at both ends."""

    case: Case
    host: str
    left: Departure
    observed: Observation
    outages: Outages

    @property
    def probes(self) -> dict[int, collections.Counter[int]]:
        """The probes that arrived: for each TTL they were sent with, how many arrived with which TTL."""
        return {int(payload.rsplit(b" ", 1)[-1]): ttls for payload, ttls in self.observed.marked.items()}

    @property
    def proof(self) -> dict[str, object]:
        """The facts of both ends."""
        return {
            "peer": self.host,
            "left_peer_by": self.left.interface,
            "sent": peer.PROBES * len(peer.TTLS),
            "seen_leaving": self.left.left,
            "streams_leaving_by_ttl": self.left.streams,
            "arrived_by_ttl": {str(ttl): sum(one.values()) for ttl, one in sorted(self.probes.items())},
            "joined_on": self.case.interface,
        }


def _of_probes(ends: _Ends) -> Finding | None:
    """Return the cause that the probes which arrived show, or the error of sending them; None if none arrived."""
    case, host, left, observed, probes = ends.case, ends.host, ends.left, ends.observed, ends.probes
    if left.error is not None:
        return _refused(case, host, left, ends.proof)
    outage = ends.outages.finding(observed.received)
    near, far = peer.TTLS
    if near in probes or observed.received > sum(sum(one.values()) for one in probes.values()):
        text = f"what {host} sends from {left.interface} arrives on {case.interface}: {datagrams(observed.received)}"
        found = outage or Finding("ok", "proven", {}, "", text)
    elif far in probes:
        found = outage or _expired(host, left, far - min(probes[far]))
    else:
        return None
    return dataclasses.replace(found, proof={**ends.proof, **found.proof})


def _of_silence(ends: _Ends, duration: float) -> Finding:
    """Return the cause for which no probe arrived, after listening everywhere for ``duration`` seconds."""
    case, host, left, outages = ends.case, ends.host, ends.left, ends.outages
    router = router_for(host) if _is_address(host) else None
    if case.is_link_scope and router is not None and outages.finding(0) is None:
        return Finding(
            "link-scope",
            "proven",
            {**ends.proof, "router": router},
            "use a group that routers forward, such as 239.1.2.3 or ff15::1, and a larger TTL",
            f"routers never forward {case.endpoint.group}, and {host} is behind the router {router}",
        )
    lost = before.interface_lost(case)
    if lost is not None:
        return lost
    everywhere = hear_everywhere(case.endpoint, duration, is_over=outages.looking(lambda: False))
    found = why_nothing(case, ends.observed, everywhere, outages)[0]
    if found.cause != "no-sender":
        return found
    if left.left == 0:
        return Finding(
            "interface-down",
            "likely",
            ends.proof,
            f"look at the link of {left.interface} on {host} (ip link show {left.interface})",
            f"{host} sent probes, but none left it: its interface {left.interface} was probably down or without a link",
        )
    return Finding(
        "no-querier",
        "possible",
        {**ends.proof, "router": router},
        "enable an IGMP querier on the switches in between, or multicast routing on the routers",
        f"the probes left {host} through {left.interface}, but none reached {case.interface}: a switch or a router in "
        "between does not forward them",
    )


def _refused(case: Case, host: str, left: Departure, proof: dict[str, object]) -> Finding:
    if left.error == "EPERM":
        return Finding(
            "firewall-output",
            "proven",
            {**proof, "error": left.error, "rules": left.rules},
            left.fix or f"look at the firewall of {host} (nft list ruleset)",
            f"the firewall of {host} drops what it sends to {case.endpoint.group} port {case.port}",
        )
    return Finding(
        "no-route",
        "proven",
        {**proof, "error": left.error},
        f"run 'multicast interfaces' on {host}, and add a route there (ip route add 224.0.0.0/4 dev INTERFACE)",
        f"{host} cannot send to {case.endpoint.group}: {left.error}",
    )


def _expired(host: str, left: Departure, hops: int) -> Finding:
    """Probes with a large TTL arrived, and those with TTL 1 did not."""
    small = {ttl: count for ttl, count in left.streams.items() if int(ttl) <= hops}
    return Finding(
        "ttl-expired",
        "proven" if small else "likely",
        {"hops": hops},
        f"send with a TTL of at least {hops + 1} (--ttl {hops + 1}, ttl={hops + 1})",
        f"{'1 router is' if hops == 1 else f'{hops} routers are'} between {host} and this machine, and "
        + (f"{host} sends with a TTL of {', '.join(small)}" if small else "a TTL of 1 does not cross them"),
    )


def _is_address(host: str) -> bool:
    try:
        endpoints.parse_address(host)
    except ValueError:
        return False
    return True
