"""The Receiver API for asyncio: ``Receiver`` and ``Sender`` with the names of ``multicast``."""

from __future__ import annotations

from .receiver import Receiver
from .sender import Sender

__all__ = ["Receiver", "Sender"]


def __dir__() -> list[str]:
    return __all__
