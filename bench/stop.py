"""The signal that ends a contestant's endless reading when the traffic is over."""

import signal
from types import FrameType


class Stop(BaseException):
    """Raised in the main thread by SIGUSR1. Like KeyboardInterrupt, no `except Exception` catches it."""


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise Stop


def listen_for_stop() -> None:
    """Let SIGUSR1 raise `Stop` in the main thread."""
    signal.signal(signal.SIGUSR1, _raise)
