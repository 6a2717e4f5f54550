"""The contestants: their names, the environment that runs each one, and how to start it.

The code of the contestants is in `floor.c`, `receivers` and `senders`.
"""

import itertools
from dataclasses import dataclass, field
from typing import Literal

from bench import paths
from bench.process import Child, options

GROUP = "239.1.2.3"
# Each child gets its own port, so that two contestants never receive the same datagram.
_ports = itertools.count(50000)

Role = Literal["recv", "send", "gil_contention", "memory"]


@dataclass(frozen=True)
class Contestant:
    """One row of the comparison.

    Attributes:
        name: The name in the tables.
        home: The environment that runs it; "floor" is the C program.
        kind: The code that the worker loads, `MODULE:NAME` in this package.
        slow: Whether a fifth of the datagrams is enough to measure it.
        values: More options for the child.
    """

    name: str
    home: paths.Home | Literal["floor"]
    kind: str = ""
    slow: bool = False
    values: dict[str, object] = field(default_factory=dict[str, object])

    @property
    def present(self) -> bool:
        """Whether the environment that runs it is installed."""
        return self.home == "floor" or paths.interpreter(self.home) is not None

    def start(self, role: Role, port: int, core: int | None, **values: object) -> Child:
        """Start it as `role` on `port`, pinned to `core`, with more options.

        Raises:
            FileNotFoundError: It is not `present`.
            ChildFailedError: It did not report that it is ready.
        """
        return self._start(role, port, core, values, {})

    def start_counted(self, role: Role, port: int, core: int | None, **values: object) -> Child:
        """Start it as `start` does; its answers also have the system calls and allocations.

        Raises:
            FileNotFoundError: It is not `present`.
            ChildFailedError: It did not report that it is ready.
        """
        # Python's own allocator takes memory from the system in large pieces; this way each object is counted.
        counted = {"LD_PRELOAD": str(paths.counter()), "PYTHONMALLOC": "malloc"}
        return self._start(role, port, core, values, counted)

    def _start(
        self, role: Role, port: int, core: int | None, values: dict[str, object], environment: dict[str, str]
    ) -> Child:
        merged = {"group": GROUP, "port": port} | self.values | values
        if self.home == "floor":
            return Child([str(paths.floor()), role, *options(merged)], core, environment=environment)
        python = paths.interpreter(self.home)
        if python is None:
            raise FileNotFoundError(f"{self.name} is not installed")
        command = [str(python), "-m", "bench.worker", role, *options({"kind": self.kind} | merged)]
        return Child(command, core, environment=environment)


def new_port() -> int:
    """Return a port that no child of this run has used."""
    return next(_ports)


# Receiving. The second floor requests the sender, as our lean receivers and the other libraries do. The third one
# requests what our receiver requests by default (sender, time, TTL, coalescing). Both ignore it: the difference to the
# first floor is what the metadata costs in the kernel.
FLOOR = Contestant("floor: recvmmsg", "floor")
FLOOR_SENDER = Contestant("floor: recvmmsg, sender", "floor", values={"meta": 1})
FLOOR_METADATA = Contestant("floor: recvmmsg, same metadata", "floor", values={"meta": 2, "gro": 1})
FLOOR_GRO = Contestant("floor: recvmmsg + UDP_GRO", "floor", values={"gro": 1, "vlen": 16})
STDLIB = Contestant("stdlib recvfrom(65535)", "here", "receivers.calls:whole")
STDLIB_SMALL = Contestant("stdlib recvfrom(2048)", "here", "receivers.calls:small")
ASYNCIO = Contestant("asyncio protocol", "here", "receivers.loops:plain", slow=True)
UVLOOP = Contestant("uvloop protocol", "competitors", "receivers.uv:receiver", slow=True)
EXPERT = Contestant("multicast_expert", "competitors", "receivers.expert:receiver", slow=True)
PUBLISHED_SERVER = Contestant("multicast 2.1.1 McastServer", "published", "receivers.server:Server")
COLUMNS = Contestant("recv_batch columns", "here", "receivers.ours:Columns")
PAYLOADS = Contestant("recv_batch payloads()", "here", "receivers.ours:Payloads")
ITERATE = Contestant("for msg in rx", "here", "receivers.ours:Iterate")
RECV = Contestant("rx.recv()", "here", "receivers.ours:Recv")
SPIN_RECV = Contestant("rx.recv(), spin=0.01", "here", "receivers.ours:SpinRecv")
# Lean: no metadata but the sender, as the second floor and the other libraries have it.
LEAN_COLUMNS = Contestant("recv_batch columns, lean", "here", "receivers.ours:LeanColumns")
LEAN_PAYLOADS = Contestant("recv_batch payloads(), lean", "here", "receivers.ours:LeanPayloads")
LEAN_ITERATE = Contestant("for msg in rx, lean", "here", "receivers.ours:LeanIterate")
LINGER_COLUMNS = Contestant("recv_batch columns, linger=0.0002", "here", "receivers.ours:LingerColumns")
HELD_COLUMNS = Contestant("recv_batch columns, 32 batches held", "here", "receivers.ours:HeldColumns")
PACKET_COLUMNS = Contestant("packet engine, columns", "here", "receivers.ours_packet:Columns")
PACKET_PAYLOADS = Contestant("packet engine, payloads()", "here", "receivers.ours_packet:Payloads")
PACKET_ITERATE = Contestant("packet engine, for msg in rx", "here", "receivers.ours_packet:Iterate")
AIO = Contestant("async for msg in rx", "here", "receivers.ours_aio:Aio")
LEAN_AIO = Contestant("async for msg in rx, lean", "here", "receivers.ours_aio:LeanAio")
ENDPOINT = Contestant("our endpoint, protocol", "here", "receivers.ours_protocol:plain")
SERVER = Contestant("McastServer", "here", "receivers.server:Server")
GROUPS = Contestant("1,000 groups", "here", "receivers.ours:Groups")

LEAN = (LEAN_COLUMNS, LEAN_PAYLOADS, LEAN_ITERATE, LEAN_AIO)
PACKET = (PACKET_COLUMNS, PACKET_PAYLOADS, PACKET_ITERATE)
_SOCKETS = (*LEAN, COLUMNS, PAYLOADS, ITERATE, RECV, AIO, ENDPOINT, SERVER)
OURS = (*_SOCKETS, LINGER_COLUMNS, HELD_COLUMNS, SPIN_RECV, *PACKET)
PLAIN_RECEIVERS = (
    FLOOR,
    FLOOR_SENDER,
    FLOOR_METADATA,
    STDLIB,
    STDLIB_SMALL,
    ASYNCIO,
    UVLOOP,
    EXPERT,
    *_SOCKETS,
)
COALESCED_RECEIVERS = (FLOOR_GRO, COLUMNS, PAYLOADS, ITERATE, AIO)
# Lingering matters while datagrams arrive, and a packet ring holds only what arrives while it is read.
FLOOD_RECEIVERS = (*PLAIN_RECEIVERS, LINGER_COLUMNS, *PACKET)
FLOOD_COALESCED_RECEIVERS = (*COALESCED_RECEIVERS, PACKET_COLUMNS)

# Sending.
FLOOR_SENDMMSG = Contestant("floor: sendmmsg", "floor", values={"kind": "mmsg"})
FLOOR_MIXED = Contestant("floor: sendmmsg, mixed sizes", "floor", values={"kind": "mmsg", "mixed": 1})
FLOOR_GSO = Contestant("floor: sendmmsg + UDP_SEGMENT", "floor", values={"kind": "gso"})
FLOOR_SENDTO = Contestant("floor: sendto", "floor", values={"kind": "sendto"})
STDLIB_SENDTO = Contestant("stdlib sendto", "here", "senders.calls:stdlib")
EXPERT_SENDTO = Contestant("multicast_expert sendto", "competitors", "senders.expert:sender")
SEND = Contestant("tx.send()", "here", "senders.ours:send")
SEND_MANY = Contestant("tx.send_many(), equal sizes", "here", "senders.ours:equal")
SEND_MANY_MIXED = Contestant("tx.send_many(), mixed sizes", "here", "senders.ours:mixed")
SENDERS = (
    FLOOR_SENDMMSG,
    FLOOR_MIXED,
    FLOOR_GSO,
    FLOOR_SENDTO,
    STDLIB_SENDTO,
    EXPERT_SENDTO,
    SEND,
    SEND_MANY,
    SEND_MANY_MIXED,
)

# A program that computes while it receives, and one whose memory is measured.
BUSY_COLUMNS = Contestant("computing beside columns", "here", "gil_contention:BesideColumns")
BUSY_PAYLOADS = Contestant("computing beside payloads()", "here", "gil_contention:BesidePayloads")
BUSY_STDLIB = Contestant("computing beside stdlib recvfrom", "here", "gil_contention:BesideStdlib")
DEFAULT_RECEIVER = Contestant("receiver with default settings", "here", "memory:MemoryProbe")
