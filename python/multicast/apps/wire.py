"""Watch the datagrams to every group that arrive on an interface, whether anybody has joined the group or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._core import _interface_index, _Wire
from .listening import Totals, time_after
from .streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from ..types import Membership, ReceiverStats
    from .listening import Limits

_SIZE = 16 << 20
# Seconds between two looks at the packets, which are kept in memory meanwhile. The kernel keeps them back for less: its
# timer ends a block after one or two periods of 20 ms.
_PAUSE = 0.05


class Wire:
    """The datagrams to all groups on one interface, except those that this machine itself sends.

    It needs Linux, and the capability ``CAP_NET_RAW``. A switch with snooping delivers joined groups only.

    Args:
        interface: name or index of the interface.
        size: bytes of memory for packets that were not read yet, for each IP version.

    Attributes:
        streams: the statistics of their streams.

    Raises:
        ValueError: There is no such interface.
        PermissionError: The process may not see all packets.
        OSError: The system refused for another reason.
    """

    def __init__(self, interface: str | int, *, size: int = _SIZE) -> None:
        index = _interface_index(interface)
        if index is None:
            raise ValueError(f"interface must be the name or index of one interface, got {interface!r}")
        self._core: _Wire | None = _Wire(index, size)
        self.streams = Streams()
        self._counters = [0] * 5
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the packets back to the system. The statistics stay."""
        self._core = None

    @property
    def memberships(self) -> list[tuple[Membership, int]]:
        """Nothing: no group is joined."""
        return []

    def stats(self) -> list[ReceiverStats]:
        """Return nothing: there is no receiver."""
        return []

    def totals(self) -> Totals:
        """Return the counters up to now."""
        received, size, dropped, invalid, unassembled = self._counters
        return Totals(
            received=received,
            bytes=size,
            kernel_drops=dropped,
            ring_drops=0,
            filtered=0,
            truncated=0,
            invalid=invalid,
            unassembled=unassembled,
            duration=time.monotonic() - self._begun,
            is_least=dropped > 0,
        )

    def looks(self, limits: Limits, has_ended: Callable[[], bool]) -> Iterator[None]:
        """Account for what arrives, and yield several times a second, until a limit is reached or it has ended.

        It can exceed the limit of datagrams by those that arrive together.

        Raises:
            OSError: Receiving failed.
        """
        self._begun = heard = time.monotonic()
        is_over = False
        while self._core is not None:
            new = self.streams.take(self._core)
            self._counters = [sum(pair) for pair in zip(self._counters, new, strict=True)]
            yield
            now = time.monotonic()
            heard = now if new[0] else heard
            until = min(time_after(self._begun, limits.duration), time_after(heard, limits.silence))
            if is_over or (limits.count is not None and self._counters[0] >= limits.count):
                return
            # After the end there is one more look, at what the kernel has kept back.
            is_over = now >= until or has_ended()
            time.sleep(_PAUSE)
