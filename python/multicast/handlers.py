"""The callback style: the loop behind `multicast.Receiver.run`, and its decisions, which `multicast.aio` shares."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from .exceptions import ClosedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Literal, Protocol, TypeAlias

    from typing_extensions import Self

    from . import _core

    class Event(Protocol):
        """A `threading.Event`, an `asyncio.Event`, or another object that knows whether it is set."""

        def is_set(self) -> bool:
            """Return whether it is set."""
            ...

    Stop: TypeAlias = Event | Callable[[], bool | Awaitable[bool]] | None
    OnError: TypeAlias = Literal["log", "raise"]

_logger = logging.getLogger("multicast")

CHECK_INTERVAL = 0.1
"""Seconds after which a loop that receives nothing checks whether to stop."""


class HandlerLoop:
    """One run of a loop: whether it goes on, how long it waits, what happens to an error of the handler.

    Args:
        stop: An event, or a function that returns true, to end the loop; None never does.
        on_error: ``"log"`` goes on with the next datagram, ``"raise"`` ends the loop with the error; both log it.
        timeout: Seconds without a datagram, from 0, after which to raise an error. None waits without a limit.

    Raises:
        TypeError: ``stop`` is neither an event nor a function.
        ValueError: ``on_error`` or ``timeout`` is out of range.
    """

    def __init__(self, stop: Stop, on_error: OnError, timeout: float | None) -> None:
        if on_error not in ("log", "raise"):
            raise ValueError(f"on_error must be 'log' or 'raise', got {on_error!r}")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds from 0, got {timeout}")
        self.stopped = _as_predicate(stop)
        self._raises = on_error == "raise"
        self._timeout = float("inf") if timeout is None else timeout
        self._idle = 0.0
        self._check_interval = float("inf") if stop is None else CHECK_INTERVAL
        self.handled = 0
        """Datagrams that the handler was called with."""

    @property
    def wait(self) -> float:
        """The longest time to wait for the next datagram, in seconds."""
        return min(self._check_interval, self._timeout - self._idle)

    def record_timeout(self) -> None:
        """Record that nothing was received within `wait`.

        Raises:
            TimeoutError: Nothing was received within the whole timeout either.
        """
        self._idle += self.wait
        if self._idle >= self._timeout:
            raise TimeoutError(f"nothing was received within {self._timeout:g} s")

    def handling(self, msg: _core.Datagram) -> Self:
        """Record a datagram. Call the handler in a ``with`` block around the result, which treats its error."""
        self._idle = 0.0
        self.handled += 1
        self._msg = msg
        return self

    def __enter__(self) -> None:
        """Do nothing; see `handling`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Log an error of the handler with the origin of the datagram. `KeyboardInterrupt` passes through."""
        if not isinstance(error, Exception):
            return False
        msg = self._msg
        _logger.error(
            "The handler failed on a datagram of %d bytes from %s to %s (interface %s): %s: %s",
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
    """Call a function with each datagram; see `multicast.Receiver.run`."""
    for argument, function in (("stop", stop), ("handler", handler)):
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{argument} must not be a coroutine function; run those with multicast.aio.Receiver"
            )
    handler_loop = HandlerLoop(stop, on_error, timeout)
    while not handler_loop.stopped():
        try:
            msg = receiver.recv(handler_loop.wait)
        except ClosedError:
            break
        except TimeoutError:
            handler_loop.record_timeout()
            continue
        with handler_loop.handling(msg):
            handler(msg)
    return handler_loop.handled


def _as_predicate(stop: Stop) -> Callable[[], bool | Awaitable[bool]]:
    if stop is None:
        return _never
    if callable(stop):
        return stop
    if callable(getattr(stop, "is_set", None)):
        return stop.is_set
    raise TypeError(f"stop must be an event or a function, got {type(stop).__name__}")


def _never() -> bool:
    return False
