"""The Receiver API for asyncio: ``Receiver`` and ``Sender`` with the names of ``multicast``."""

from __future__ import annotations

from .protocols import create_datagram_endpoint
from .receiver import Receiver
from .sender import Sender
from .watching import InterfaceWatch, watch_interfaces

__all__ = ["InterfaceWatch", "Receiver", "Sender", "create_datagram_endpoint", "watch_interfaces"]


def __dir__() -> list[str]:
    return __all__
