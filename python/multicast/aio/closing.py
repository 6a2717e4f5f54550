"""How asynchronous objects are closed: by an ``async with`` block."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class AsyncClosing:
    """An asynchronous context manager that closes itself."""

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __enter__(self) -> NoReturn:
        """Refuse a ``with`` block.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"use 'async with' for multicast.aio.{type(self).__name__}, not 'with'")

    def __exit__(self, *_: object) -> None:
        """Do nothing: Python looks for this method before it calls the other."""
