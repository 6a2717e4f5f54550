"""The package's constants. The defaults are read from the environment once, when the package is imported.

They are not in ``__init__``, which re-exports them, so that the tools need not import the package they belong to.
"""

from __future__ import annotations

from ..env import load_config

_config = load_config()

_MCAST_DEFAULT_PORT = _config["port"]
_MCAST_DEFAULT_GROUP = _config["group"]
_MCAST_DEFAULT_TTL = _config["ttl"]
_MCAST_DEFAULT_BUFFER_SIZE = _config["buffer_size"]
_MCAST_DEFAULT_BIND_IP = _config["bind_addr"]
_MCAST_DEFAULT_GROUPS = _config["groups"]
_BLANK = ""
PING_PORT = 4321
"""The UDP port of the programs that answer multicast pings, such as ssmpingd."""
