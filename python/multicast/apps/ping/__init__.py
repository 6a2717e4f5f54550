"""Multicast ping: who is in a group, and how do unicast and multicast reach them?

The protocol is that of ``ssmping``, ``asmping`` and ``ssmpingd`` (draft-ietf-mboned-ssmping). The modules: ``message``
(the format), ``port`` (the socket), ``answer`` (the responder), ``client`` (the requests), ``results`` (statistics).
"""

from __future__ import annotations

from .answer import Answer, Responder
from .client import Ping
from .port import TTL
from .results import HostResult, KindResult, Reply

__all__ = ["TTL", "Answer", "HostResult", "KindResult", "Ping", "Reply", "Responder"]
