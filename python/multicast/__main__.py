"""The entry point, ``python3 -m multicast``, and its documented names.

Importing lazily matters here: NOOP, which monitors run every few seconds to check the installation, and ``--help``
should not pay for tools they do not use. The documented names are in ``_legacy.dispatch``, imported on first use.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

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
    """Run the command line of this process and exit. ``python3 -m multicast`` and the console script call it."""
    if sys.argv[1:] == _NOTHING_TO_DO:
        sys.exit(0)
    from .cli import program  # noqa: PLC0415 - see the top of the file

    code = program.run(sys.argv[1:], _use_tool)
    if code == _INTERRUPTED:
        from ._interrupts import reraise_sigint  # noqa: PLC0415 - rarely needed

        reraise_sigint()
    sys.exit(code)


def _use_tool(name: str, **keywords: Any) -> tuple[bool, Any]:
    from ._legacy.dispatch import McastDispatch  # noqa: PLC0415 - see the top of the file

    return McastDispatch.useTool(name, **keywords)


if not TYPE_CHECKING:  # type checkers use the declarations above

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._legacy import dispatch  # noqa: PLC0415 - see the top of the file

        return getattr(dispatch, name)


if __name__ == "__main__":
    run()
