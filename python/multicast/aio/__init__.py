"""Send and receive UDP multicast in asyncio.

::

    from multicast import aio

    async with aio.Receiver("239.1.2.3:5000") as rx:
        async with aio.Sender("239.1.2.3:5000") as tx:
            await tx.send(b"hello")
        print((await rx.recv(timeout=1.0)).data)

The classes have the names, arguments and errors of those in
``multicast``. The methods that wait are coroutines.
"""

from __future__ import annotations

from .protocols import create_datagram_endpoint
from .receiver import Receiver
from .sender import Sender
from .watching import InterfaceWatch, watch_interfaces

__all__ = ["InterfaceWatch", "Receiver", "Sender", "create_datagram_endpoint", "watch_interfaces"]


def __dir__() -> list[str]:
    return __all__
