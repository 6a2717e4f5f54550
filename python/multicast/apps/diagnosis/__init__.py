"""Why does nothing arrive? Look for the cause, and prove it.

``diagnose`` joins an endpoint, listens, compares the counters of the kernel before and after, and returns findings.
The modules: ``finding`` (the result), ``proc``, ``sniffer`` and ``firewall`` (facts), ``before`` (causes that are known
before listening), ``listening`` (the observation), ``outages`` (when the interface was away), ``evidence`` (the
questions that the observation answers), ``after``, ``sizes``, ``overload`` and ``settings`` (causes that it shows),
``peer``, ``two_ended`` and ``serving`` (the diagnosis with another host, which sends or listens).
"""

from __future__ import annotations

from .diagnose import Diagnosis, diagnose
from .finding import CAUSES, Finding
from .serving import Server
from .two_ended import diagnose_at_peer, diagnose_with_peer

__all__ = ["CAUSES", "Diagnosis", "Finding", "Server", "diagnose", "diagnose_at_peer", "diagnose_with_peer"]
