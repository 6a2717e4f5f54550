"""Files of datagrams: record what a receiver receives, and replay it.

::

    from multicast import Receiver
    from multicast.capture import Player, Recorder

    with Receiver("239.1.2.3:5000") as rx, Recorder("feed.pcapng", rx) as recorder:
        while recorder.write(rx.recv_batch(timeout=10.0), rx):
            print(recorder.stats().written)

    with Player("feed.pcapng", speed=2.0) as player:
        player.run()

A recording is a pcapng file with times in nanoseconds, which Wireshark
and tcpdump can read. Each datagram has IP and UDP headers that are built from
its metadata. No privileges are needed.
"""

from .recording import Recorder, RecorderStats
from .replaying import Player, PlayerStats

__all__ = ["Player", "PlayerStats", "Recorder", "RecorderStats"]
