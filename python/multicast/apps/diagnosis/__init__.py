"""Why does nothing arrive? Look for the cause, and prove it.

``diagnose`` joins an endpoint, listens, compares the counters of the kernel before and after, and returns findings.
The modules: ``finding`` (the result), ``proc``, ``sniffer`` and ``firewall`` (facts), ``before`` (causes that are known
before listening), ``listening`` (the observation), ``after`` (causes that the observation shows).
"""

from __future__ import annotations

from .diagnose import Diagnosis, diagnose
from .finding import CAUSES, Finding

__all__ = ["CAUSES", "Diagnosis", "Finding", "diagnose"]
