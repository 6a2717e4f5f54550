"""Causes of losses: a receive buffer that is too small, a program that is too slow, a switch that forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._arguments import AUTO_RECV_BUFFER
from . import proc
from .finding import Finding, datagrams

if TYPE_CHECKING:
    from .case import Case
    from .listening import Observation, Program


def findings(case: Case, observed: Observation, *, was_away: bool) -> list[Finding]:
    """Return what is wrong although datagrams arrive.

    Args:
        case: what is under diagnosis.
        observed: what was observed.
        was_away: whether the interface was away for a time, which explains why a stream stopped and went on.
    """
    addresses = {case.endpoint.group, "0.0.0.0", "::"}
    found = [
        _of_program(case, one, observed)
        for one in observed.programs
        if one.drops and one.address in addresses
    ]
    revived = None if was_away else _no_querier(case, observed)
    return found if revived is None else [*found, revived]


def _of_program(case: Case, program: Program, observed: Observation) -> Finding:
    """Explain the drops of a program on the port: is its buffer too small for bursts, or is it always full?"""
    owner = proc.owner(program.inode)
    who = "a program" if owner is None else f"{owner[1]} (process {owner[0]})"
    proof: dict[str, object] = {
        "program": None if owner is None else {"pid": owner[0], "name": owner[1]},
        "socket": f"{program.address}:{case.port}",
        "dropped": program.drops,
        "least_bytes_waiting": program.least_waiting,
        "Udp.RcvbufErrors": observed.rises.get(
            "Udp6.RcvbufErrors" if case.is_ipv6 else "Udp.RcvbufErrors", 0
        ),
    }
    if program.least_waiting:
        return Finding(
            "program-too-slow",
            "proven",
            proof,
            "make the program faster, or let a thread receive: Receiver(..., ring=65536)",
            f"{who} lost {datagrams(program.drops)}: its receive buffer was never empty, so it reads more slowly "
            "than datagrams arrive",
        )
    return Finding(
        "buffer-overflow",
        "proven",
        proof,
        f"sysctl -w net.core.rmem_max={AUTO_RECV_BUFFER}, and let the program request a receive buffer of that size "
        "(SO_RCVBUF; a Receiver does)",
        f"{who} lost {datagrams(program.drops)} in bursts: its receive buffer is too small for them, although the "
        "program empties it in between",
    )


def _no_querier(case: Case, observed: Observation) -> Finding | None:
    if not observed.revivals:
        return None
    first = observed.revivals[0]
    return Finding(
        "no-querier",
        "proven" if len(observed.revivals) > 1 else "likely",
        {
            "received_until_silence": [one.before for one in observed.revivals],
            "silence_s": [round(one.silence, 2) for one in observed.revivals],
            "received_after_joining_again": [one.after for one in observed.revivals],
            "queries_seen": None if observed.queries is None else observed.queries[case.interface],
        },
        "enable an IGMP querier on the switch or router, or open the receiver with rejoin=60",
        f"the stream stopped after {datagrams(first.before)} and resumed when the group was rejoined: a switch "
        "forgets this listener, because the network has no querier",
    )
