"""The entry point, ``python3 -m multicast``, and the documented names that stand for it.

What they are is in ``_legacy.dispatch``, loaded when first asked for: NOOP, which monitors run every few seconds to see
whether the package is well, should not pay for tools that it does not use.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ._legacy.dispatch import (
        TASK_OPTIONS,
        McastDispatch,
        McastNope,
        McastRecvHearDispatch,
        cli,
        main,
    )

__all__ = ["TASK_OPTIONS", "McastDispatch", "McastNope", "McastRecvHearDispatch", "cli", "main"]

_NOTHING_TO_DO = ["NOOP"]
_INTERRUPTED = 130


def run() -> NoReturn:
    """End this process as its command line says: what ``python3 -m multicast`` and the console script call."""
    if sys.argv[1:] == _NOTHING_TO_DO:
        sys.exit(0)
    from ._legacy import dispatch  # noqa: PLC0415 - see the head of this file

    code = dispatch.cli()
    if code == _INTERRUPTED:
        from .cli.signals import reraise_sigint  # noqa: PLC0415 - rarely needed

        reraise_sigint()
    sys.exit(code)


if not TYPE_CHECKING:  # a type checker is told the names above, and shall know of no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._legacy import dispatch  # noqa: PLC0415 - see the head of this file

        return getattr(dispatch, name)


if __name__ == "__main__":
    run()
