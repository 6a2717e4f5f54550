"""Forward datagrams where a network carries no multicast: between groups, unicast UDP and NATS.

::

    import asyncio
    from multicast.relay import Relay, Route

    relay = Relay([Route("239.1.2.3:5000%eth0", ("udp://10.0.0.6:7000",))])
    asyncio.run(relay.run())

NATS needs the extra ``multicast[relay]``.
"""

from .bridge import LegStats, Relay, Route
from .config import read_config

__all__ = ["LegStats", "Relay", "Route", "read_config"]
