"""The patterns that fill generated datagrams."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` is slow to import, and the help of `multicast send` loads this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TypeAlias

    Pattern: TypeAlias = Literal["zero", "count", "random"]

PATTERNS: tuple[Pattern, ...] = ("zero", "count", "random")
"""Zeros; the bytes 0 to 255 in order, repeated; random bytes, different each time."""


def filling(pattern: Pattern, size: int) -> Callable[[], bytes]:
    """Return a function that returns ``size`` bytes of a pattern.

    Raises:
        ValueError: There is no such pattern.
    """
    if pattern == "random":
        return lambda: os.urandom(size)
    if pattern not in PATTERNS:
        raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, got {pattern!r}")
    once = bytes(size) if pattern == "zero" else (bytes(range(256)) * (size // 256 + 1))[:size]
    return lambda: once
