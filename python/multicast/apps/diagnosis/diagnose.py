"""The diagnosis: from an endpoint to findings."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import endpoints
from . import after, before, overload, settings
from .case import case_for
from .evidence import Evidence
from .finding import Finding, datagrams
from .listening import hear_everywhere, observe
from .outages import Outages

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...endpoints import Endpoint
    from .case import Case
    from .listening import Arrival, Observation


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of a diagnosis.

    ::

        diagnosis = diagnose("239.1.2.3:5000%eth0")
        for finding in diagnosis.findings:
            print(finding.cause, finding.text)
            print("try:", finding.fix)
    """

    endpoint: Endpoint
    interface: str | None
    """The interface that the endpoint means; None if there is none."""
    findings: tuple[Finding, ...]
    """At least one, those with the most confidence first."""
    received: int
    """Datagrams received."""
    can_see_packets: bool
    """Whether a packet socket was permitted, which proves more."""

    @property
    def is_fine(self) -> bool:
        """Whether datagrams arrive and no cause of losses was found."""
        return all(one.cause == "ok" for one in self.findings)


def diagnose(
    endpoint: str | Endpoint,
    *,
    duration: float = 3.0,
    on_joined: Callable[[], None] | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> Diagnosis:
    """Find out why nothing arrives for an endpoint, or why datagrams are lost.

    This joins the group, listens, and sends no datagram. If nothing arrives, it joins the group on every interface
    and listens again. With the capability CAP_NET_RAW it also looks at the packets that reach the interfaces.

    Args:
        endpoint: one group with its port, such as ``"239.1.2.3:5000%eth0"``.
        duration: seconds to listen, above 0; twice as long if nothing arrives.
        on_joined: called once the group is joined.
        is_over: called often; ends the listening early when it returns true.

    Raises:
        ValueError: The endpoint has no port, is not one group, or names an unknown interface.
        OSError: The endpoint cannot be received, for a reason that is not among the causes.
    """
    if not duration > 0:
        raise ValueError(f"duration must be above 0, got {duration:g}")
    case = case_for(endpoints.from_argument(endpoint))
    known = before.findings(case)
    if known:
        return result(case, known, None)
    with Outages(case) as outages:
        try:
            observed = observe(case.endpoint, duration, outages, on_joined=on_joined, is_over=is_over)
        except OSError as error:
            refused = before.of_open_error(case, error)
            if refused is None:
                refused = next(iter(settings.findings(case)), None)
            if refused is None:
                raise
            return result(case, [refused], None)
        if observed.received:
            outage = outages.finding(observed.received)
            found = overload.findings(case, observed, was_away=outage is not None)
            found += [_ok(case, observed)] if outage is None and not found else [outage] if outage else []
            return result(case, found, observed)
        lost = before.interface_lost(case)
        if lost is not None:
            return result(case, [lost], observed)
        everywhere = hear_everywhere(case.endpoint, duration, is_over=outages.looking(is_over))
        return result(case, why_nothing(case, observed, everywhere, outages), observed)


def why_nothing(
    case: Case, observed: Observation, everywhere: collections.Counter[Arrival], outages: Outages
) -> list[Finding]:
    """Return the causes for which nothing was received."""
    evidence = Evidence(case, observed, everywhere)
    found = outages.among([*after.findings(evidence), *settings.findings(case)])
    if found:
        return found
    container = settings.container(case)
    if container is not None:
        return [container]
    return [after.no_sender(evidence, outages.seconds_without_address)]


def _ok(case: Case, observed: Observation) -> Finding:
    return Finding(
        "ok",
        "proven",
        {"received": observed.received, "sources": sorted({one.source for one in observed.heard})},
        "",
        f"{datagrams(observed.received)} arrived on {case.interface}",
    )


def result(case: Case, found: list[Finding], observed: Observation | None) -> Diagnosis:
    """Return the result of a diagnosis that has come to these findings."""
    return Diagnosis(
        endpoint=case.endpoint,
        interface=case.interface or None,
        findings=tuple(found),
        received=0 if observed is None else observed.received,
        can_see_packets=observed is not None and observed.seen is not None,
    )
