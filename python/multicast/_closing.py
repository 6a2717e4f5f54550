"""How receivers and senders are closed: by a ``with`` block, or with a warning when they are dropped."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Protocol

    from typing_extensions import Self

    class Closable(Protocol):
        """An object that can be closed."""

        @property
        def closed(self) -> bool:
            """Whether it is closed."""
            ...

        def close(self) -> None:
            """Close it."""


class Closing:
    """A context manager that closes itself, and warns if it is dropped without having been closed."""

    __slots__ = ()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self: Closable,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    # The names of this module may be gone when the interpreter ends; the default arguments still exist then.
    def __del__(
        self: Closable, _warn: Callable[..., None] = warnings.warn, _kind: type = ResourceWarning
    ) -> None:
        """Warn as a socket does, which is hidden by default (see it with ``-X dev`` or ``-W default``)."""
        if not self.closed:
            # Names the line that dropped the last reference.
            _warn(f"unclosed {self!r}", _kind, stacklevel=2, source=self)
