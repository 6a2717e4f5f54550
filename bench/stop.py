"""How a contestant that reads for ever is told that the traffic is over."""

import signal
from types import FrameType


class Stop(BaseException):
    """Raised in the main thread by SIGUSR1. Like KeyboardInterrupt it is nobody else's to catch."""


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise Stop


def listen_for_stop() -> None:
    """From now on SIGUSR1 raises `Stop` in the main thread."""
    signal.signal(signal.SIGUSR1, _raise)
