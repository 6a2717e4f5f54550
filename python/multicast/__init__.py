"""Send and receive UDP multicast over IPv4 and IPv6.

::

    import multicast

    with multicast.Receiver("239.1.2.3:5000") as rx:
        with multicast.Sender("239.1.2.3:5000") as tx:
            tx.send(b"hello")
        print(rx.recv(timeout=1.0).data)

Start with ``Receiver`` and ``Sender``. ``multicast.aio`` has both for
asyncio, ``multicast.capture`` records and replays datagrams, and
``multicast.relay`` forwards them. ``interfaces()`` lists the interfaces
of this machine. The 2.x tools are in ``send``, ``recv``, ``hear``,
``skt``, ``env`` and ``exceptions``. Modules whose names begin with an
underscore are private.

Importing the package opens nothing, prints nothing and changes no
setting of the process.
"""

# First of all, and without `from __future__ import annotations`, which is an import too: `_interrupts` ends the command
# line on Ctrl-C during the other imports. A signal that arrives while it is loaded waits until then.
# ruff: noqa: E402
_signals = __import__("_signal")
_mask = (
    _signals.pthread_sigmask(_signals.SIG_BLOCK, {_signals.SIGINT})
    if hasattr(_signals, "pthread_sigmask")
    else None
)
from . import _interrupts

if _mask is not None:
    _signals.pthread_sigmask(_signals.SIG_SETMASK, _mask)
if _interrupts.IS_COMMAND_LINE:
    from . import _plain_warnings  # noqa: F401  # pyright: ignore[reportUnusedImport]

import logging

from . import env, exceptions
from ._common.constants import (
    _BLANK,
    _MCAST_DEFAULT_BIND_IP,
    _MCAST_DEFAULT_BUFFER_SIZE,
    _MCAST_DEFAULT_GROUP,
    _MCAST_DEFAULT_GROUPS,
    _MCAST_DEFAULT_PORT,
    _MCAST_DEFAULT_TTL,
)
from .exceptions import (
    ClosedError,
    MulticastError,
    UnsupportedError,
    exit_on_exception,
    get_exit_code_from_exception,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import aio, capture, hear, recv, relay, send, skt
    from ._core import Batch, Datagram, __version__
    from ._legacy.tool import mtool
    from .endpoints import Endpoint
    from .exceptions import EXCEPTION_EXIT_CODES, EXIT_CODES
    from .sending import Sender
    from .skt import endSocket, genSocket
    from .sync import Receiver, interfaces
    from .types import Interface, InterfaceEvent, Membership, ReceiverStats, SenderStats
    from .watching import InterfaceWatch, watch_interfaces

__all__ = [
    "EXCEPTION_EXIT_CODES",
    "EXIT_CODES",
    "_BLANK",
    "_MCAST_DEFAULT_BIND_IP",
    "_MCAST_DEFAULT_BUFFER_SIZE",
    "_MCAST_DEFAULT_GROUP",
    "_MCAST_DEFAULT_GROUPS",
    "_MCAST_DEFAULT_PORT",
    "_MCAST_DEFAULT_TTL",
    "Batch",
    "ClosedError",
    "Datagram",
    "Endpoint",
    "Interface",
    "InterfaceEvent",
    "InterfaceWatch",
    "Membership",
    "MulticastError",
    "Receiver",
    "ReceiverStats",
    "Sender",
    "SenderStats",
    "UnsupportedError",
    "__version__",
    "aio",
    "capture",
    "endSocket",
    "env",
    "exceptions",
    "exit_on_exception",
    "genSocket",
    "get_exit_code_from_exception",
    "hear",
    "interfaces",
    "mtool",
    "recv",
    "relay",
    "send",
    "skt",
    "watch_interfaces",
]

# The module that each of these names is imported from when it is first used (PEP 562).
_LATER = {
    "Batch": "_core",
    "Datagram": "_core",
    "EXCEPTION_EXIT_CODES": "exceptions",
    "EXIT_CODES": "exceptions",
    "Endpoint": "endpoints",
    "Interface": "types",
    "InterfaceEvent": "types",
    "InterfaceWatch": "watching",
    "Membership": "types",
    "Receiver": "sync",
    "ReceiverStats": "types",
    "Sender": "sending",
    "SenderStats": "types",
    "__version__": "_core",
    "aio": "aio",
    "capture": "capture",
    "endSocket": "skt",
    "genSocket": "skt",
    "hear": "hear",
    "interfaces": "sync",
    "mtool": "_legacy.tool",
    "recv": "recv",
    "relay": "relay",
    "send": "send",
    "skt": "skt",
    "watch_interfaces": "watching",
}

# 2.1.1 has this attribute.
__module__ = __name__

logging.getLogger(__name__).addHandler(logging.NullHandler())


if not TYPE_CHECKING:  # type checkers know exactly the names above

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - needed only here

        module = import_module(f"{__name__}.{_LATER[name]}")
        value = module if name == _LATER[name] else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
