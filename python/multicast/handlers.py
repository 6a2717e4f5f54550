"""The callback style: what a loop that hands each datagram to a function needs to decide, and that loop itself.

`multicast.Receiver.run` is the loop here; `multicast.aio.Receiver.run` is its twin with the same decisions. What is not
here: receiving.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Literal, Protocol, TypeAlias

    from typing_extensions import Self

    class Event(Protocol):
        """A `threading.Event`, an `asyncio.Event`, or whatever else tells whether it is set."""

        def is_set(self) -> bool:
            """Whether it is."""

    Stop: TypeAlias = Event | Callable[[], bool] | None
    OnError: TypeAlias = Literal["log", "raise"]

_logger = logging.getLogger("multicast")

LOOK = 0.1
"""Seconds after which a loop that receives nothing looks whether it is to stop."""


class HandlerLoop:
    """One run of a loop: whether it goes on, how long it waits, what becomes of a handler's error.

    Args:
        stop: an event, or a function that says true, to end the loop; None never does.
        on_error: ``"log"`` goes on with the next datagram, ``"raise"`` ends the loop with the error; both log it.
        timeout: seconds without a datagram that are an error; None waits for ever.

    Raises:
        TypeError: ``stop`` is neither.
        ValueError: another ``on_error``, or a timeout below 0.
    """

    def __init__(self, stop: Stop, on_error: OnError, timeout: float | None) -> None:
        if on_error not in ("log", "raise"):
            raise ValueError(f"on_error is 'log' or 'raise', not {on_error!r}")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"a timeout is a number of seconds from 0, not {timeout}")
        self.stopped = _as_predicate(stop)
        self._raises = on_error == "raise"
        self._timeout = float("inf") if timeout is None else timeout
        self._idle = 0.0
        self._look = float("inf") if stop is None else LOOK
        self.handled = 0
        """Datagrams handed to the handler."""

    @property
    def wait(self) -> float:
        """Seconds to wait for the next datagram, at most."""
        return min(self._look, self._timeout - self._idle)

    def record_timeout(self) -> None:
        """Notes that none came in the time of `wait`.

        Raises:
            TimeoutError: nor in the whole time out.
        """
        self._idle += self.wait
        if self._idle >= self._timeout:
            raise TimeoutError(f"nothing was received within {self._timeout:g} s")

    def handing(self, msg: _core.Datagram) -> Self:
        """Notes that a datagram came. In a ``with`` around the handler's call its error becomes what was chosen."""
        self._idle = 0.0
        self.handled += 1
        self._msg = msg
        return self

    def __enter__(self) -> None:
        """Nothing: see `handing`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Logs a handler's error with the datagram's origin; only what is no `Exception` always goes through."""
        if not isinstance(error, Exception):
            return False
        msg = self._msg
        _logger.error(
            "The handler failed on a datagram of %d octets from %s to %s (interface %s): %s: %s",
            len(msg),
            msg.sender,
            msg.group,
            msg.interface,
            type(error).__name__,
            error,
            exc_info=error,
        )
        return not self._raises


def run(
    receiver: _core.Receiver,
    handler: Callable[[_core.Datagram], object],
    *,
    stop: Stop = None,
    on_error: OnError = "log",
    timeout: float | None = None,
) -> int:
    """Hands each datagram to a function; see `multicast.Receiver.run`."""
    handler_loop = HandlerLoop(stop, on_error, timeout)
    while not handler_loop.stopped():
        try:
            msg = receiver.recv(handler_loop.wait)
        except _core.ClosedError:
            break
        except TimeoutError:
            handler_loop.record_timeout()
            continue
        with handler_loop.handing(msg):
            handler(msg)
    return handler_loop.handled


def _as_predicate(stop: Stop) -> Callable[[], bool]:
    if stop is None:
        return _never
    if callable(stop):
        return stop
    if callable(getattr(stop, "is_set", None)):
        return stop.is_set
    raise TypeError(f"stop is an event or a function, not {type(stop).__name__}")


def _never() -> bool:
    return False
