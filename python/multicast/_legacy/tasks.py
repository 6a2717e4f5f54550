"""The 2.x tools by the names of their commands (``TASK_OPTIONS``), and the two tools that have no module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import hear, recv, send
from .tool import mtool

if TYPE_CHECKING:
    import argparse
    from typing import Any

__all__ = ["TASK_OPTIONS", "McastNope", "McastRecvHearDispatch"]


class McastNope(mtool):
    """Do nothing, successfully."""

    __proc__ = "NOOP"
    __prologue__ = "Do nothing, successfully."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add nothing: NOOP has no options."""

    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, None]:  # noqa: ARG002
        """Return ``(True, None)``."""
        return True, None


class McastRecvHearDispatch(mtool):
    """Receive once, or keep listening if ``is_daemon`` is true."""

    __proc__ = "HEAR"
    __prologue__ = hear.McastHEAR.__prologue__
    __epilogue__ = hear.McastHEAR.__epilogue__

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of HEAR, which include those of RECV."""
        hear.McastHEAR.setupArgs(parser)

    def doStep(self, *args: Any, is_daemon: bool = False, **kwargs: Any) -> tuple[bool, Any]:
        """Run ``McastHEAR`` or ``McastRECV``, each with the keywords that concern it."""
        if is_daemon:
            kwargs.pop("timeout", None)
            return hear.McastHEAR()(*args, is_daemon=True, **kwargs)
        kwargs.pop("reply", None)
        kwargs.pop("stop", None)
        kwargs.pop("raw", None)
        kwargs.pop("on_dropped", None)
        return recv.McastRECV()(*args, **kwargs)


TASK_OPTIONS: dict[str, mtool] = {
    "NOOP": McastNope(),
    "RECV": McastRecvHearDispatch(),
    "SAY": send.McastSAY(),
    "HEAR": McastRecvHearDispatch(),
}
