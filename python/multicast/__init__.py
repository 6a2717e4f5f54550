"""UDP multicast for people and programs: send, receive and listen.

``Sender`` and ``Receiver`` are the modern face. ``send``, ``recv``, ``hear``, ``skt``, ``env`` and ``exceptions`` hold
the documented tools. Importing the package opens nothing, prints nothing and changes nothing for anybody else; all but
the settings and the exceptions is loaded when first asked for.
"""

from __future__ import annotations

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
from .exceptions import exit_on_exception, get_exit_code_from_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import aio, hear, recv, send, skt
    from ._core import Batch, ClosedError, Datagram, UnsupportedError, __version__
    from ._legacy.tool import mtool
    from .exceptions import EXCEPTION_EXIT_CODES, EXIT_CODES
    from .skt import endSocket, genSocket
    from .sync import Receiver, Sender, interfaces

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
    "Receiver",
    "Sender",
    "UnsupportedError",
    "__version__",
    "aio",
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
    "send",
    "skt",
]

# The module that each of these names is taken from, when it is first asked for (PEP 562).
_LATER = {
    "Batch": "_core",
    "ClosedError": "_core",
    "Datagram": "_core",
    "EXCEPTION_EXIT_CODES": "exceptions",
    "EXIT_CODES": "exceptions",
    "Receiver": "sync",
    "Sender": "sync",
    "UnsupportedError": "_core",
    "__version__": "_core",
    "aio": "aio",
    "endSocket": "skt",
    "genSocket": "skt",
    "hear": "hear",
    "interfaces": "sync",
    "mtool": "_legacy.tool",
    "recv": "recv",
    "send": "send",
    "skt": "skt",
}

# 2.1.1 has this attribute.
__module__ = __name__

logging.getLogger(__name__).addHandler(logging.NullHandler())


if not TYPE_CHECKING:  # a type checker is told the names above, and shall know of no others

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - for those who ask for these names only

        module = import_module(f"{__name__}.{_LATER[name]}")
        value = module if name == _LATER[name] else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
