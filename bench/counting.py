"""The system calls and allocations of this process, as counted by `counter.c` if it is in LD_PRELOAD."""

import ctypes
from collections.abc import Sequence
from typing import cast

KINDS = ("receive_calls", "wait_calls", "send_calls", "other_calls", "allocations")
"""The names of the counts, in the order of `counter.c`."""


def _table() -> Sequence[int]:
    try:
        function = ctypes.CDLL(None).bench_counts
    except (AttributeError, TypeError, OSError):
        return ()
    function.restype = ctypes.POINTER(ctypes.c_ulong * len(KINDS))
    return cast("Sequence[int]", function().contents)


_counts = _table()


def counts() -> list[int]:
    """Return the counts since the start of the process, in the order of `KINDS`; empty if nothing is counted."""
    return list(_counts)


def since(before: list[int]) -> dict[str, object]:
    """Return by how much each count has grown since `before`; empty if nothing is counted."""
    return {kind: now - then for kind, then, now in zip(KINDS, before, counts(), strict=False)}
