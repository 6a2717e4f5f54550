"""Who takes part: names, where each one's packages live, and how to start it.

What is not here: what a contestant does; that is `floor.c`, `receivers` and `senders`.
"""

import itertools
from dataclasses import dataclass, field
from typing import Literal

from bench import paths
from bench.process import Child, options

GROUP = "239.1.2.3"
# A port of its own for every child: two contestants never share a datagram.
_ports = itertools.count(50000)

Role = Literal["recv", "send", "gil_contention", "memory"]


@dataclass(frozen=True)
class Contestant:
    """One row of the comparison.

    Attributes:
        name: as the tables print it.
        home: which environment runs it; "floor" is the C program.
        kind: `MODULE:NAME` in this package, what the worker loads.
        slow: it costs so much a datagram that a fifth of the datagrams tells as much.
        values: further options of the child.
    """

    name: str
    home: paths.Home | Literal["floor"]
    kind: str = ""
    slow: bool = False
    values: dict[str, object] = field(default_factory=dict)

    @property
    def present(self) -> bool:
        """False where the environment that would run it has not been installed."""
        return self.home == "floor" or paths.interpreter(self.home) is not None

    def start(self, role: Role, port: int, core: int | None, **values: object) -> Child:
        """Start it as `role` on `port`, pinned to `core`, with further options.

        Raises:
            FileNotFoundError: it is not `present`.
            ChildFailedError: it did not get ready.
        """
        merged = {"group": GROUP, "port": port} | self.values | values
        if self.home == "floor":
            return Child([str(paths.floor()), role, *options(merged)], core)
        python = paths.interpreter(self.home)
        if python is None:
            raise FileNotFoundError(f"{self.name} is not installed")
        return Child([str(python), "-m", "bench.worker", role, *options({"kind": self.kind} | merged)], core)


def new_port() -> int:
    """A port that no child of this run has had."""
    return next(_ports)


# Receiving. The floor's second row asks the kernel for what our receiver asks for by default (sender, time, hops,
# coalescing) and looks at none of it: it shows how much of a distance to the floor is the kernel's own.
FLOOR = Contestant("floor: recvmmsg", "floor")
FLOOR_TOLD = Contestant("floor: recvmmsg, told as much", "floor", values={"meta": 1, "gro": 1})
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
# The same, asked to tell nothing but who sent it: what the floor above is comparable with.
LEAN_COLUMNS = Contestant("recv_batch columns, lean", "here", "receivers.ours:LeanColumns")
LEAN_PAYLOADS = Contestant("recv_batch payloads(), lean", "here", "receivers.ours:LeanPayloads")
LEAN_ITERATE = Contestant("for msg in rx, lean", "here", "receivers.ours:LeanIterate")
AIO = Contestant("async for msg in rx", "here", "receivers.ours_aio:Aio")
LEAN_AIO = Contestant("async for msg in rx, lean", "here", "receivers.ours_aio:LeanAio")
SERVER = Contestant("McastServer", "here", "receivers.server:Server")
GROUPS = Contestant("1,000 groups", "here", "receivers.ours:Groups")

LEAN = (LEAN_COLUMNS, LEAN_PAYLOADS, LEAN_ITERATE, LEAN_AIO)
OURS = (*LEAN, COLUMNS, PAYLOADS, ITERATE, RECV, AIO, SERVER)
PLAIN_RECEIVERS = (FLOOR, FLOOR_TOLD, STDLIB, STDLIB_SMALL, ASYNCIO, UVLOOP, EXPERT, *OURS)
COALESCED_RECEIVERS = (FLOOR_GRO, COLUMNS, PAYLOADS, ITERATE, AIO)

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

# A program with a receiver in it.
BUSY_COLUMNS = Contestant("beside columns", "here", "gil_contention:BesideColumns")
BUSY_PAYLOADS = Contestant("beside payloads()", "here", "gil_contention:BesidePayloads")
BUSY_STDLIB = Contestant("beside stdlib recvfrom", "here", "gil_contention:BesideStdlib")
WEIGHED = Contestant("receiver at its default settings", "here", "memory:MemoryProbe")
