"""The exceptions of the 2.x tools, and the exit code of each exception.

::

    RuntimeError
     +-- CommandExecutionError       a command failed; carries the exit code the process should end with
     +-- ShutdownCommandReceived     a peer asked the server to stop; the exit code is always 143
    OSError
     +-- MulticastError              an error of a receiver or sender that no system call reported
          +-- ClosedError            the receiver or sender is closed
          +-- UnsupportedError       this platform does not support the operation

Network errors are plain ``OSError`` and its subclasses. ``EXIT_CODES`` and ``EXCEPTION_EXIT_CODES`` are created on
first use, because one entry is a class of ``argparse``. Every import of the package loads this module, so it imports
``argparse`` and ``typing`` only when it needs them.
"""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    Parameters = ParamSpec("Parameters")
    Result = TypeVar("Result")

    EXIT_CODES: dict[int, tuple[type[BaseException] | None, str]]
    EXCEPTION_EXIT_CODES: dict[type[BaseException], int]

__all__ = [
    "EXCEPTION_EXIT_CODES",
    "EXIT_CODES",
    "ClosedError",
    "CommandExecutionError",
    "MulticastError",
    "ShutdownCommandReceived",
    "UnsupportedError",
    "exit_on_exception",
    "get_exit_code_from_exception",
    "validate_exit_code",
]

# 128 plus the number of SIGTERM, as shells report it.
_SHUTDOWN_EXIT_CODE = 143
# The code of a SystemExit whose own code is not an integer; POSIX shells use it for misuse.
_UNCLEAR_EXIT_CODE = 2
# "Internal software error" of BSD's sysexits.
_INTERNAL_EXIT_CODE = 70


class CommandExecutionError(RuntimeError):
    """A command failed: ``CommandExecutionError([cause,] message, exit_code)``.

    The parts may also be given as the keywords ``message``, ``exit_code`` (default 1) and ``__cause__``.

    Attributes:
        message: the reason, as text.
        exit_code: the exit code of a process that ends because of it.

    Raises:
        TypeError: The exit code is not an integer, the cause is not an exception, or there are too many parts.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        cause, message, exit_code = _parts(type(self).__name__, args, kwargs)
        self.message = "Command execution failed" if message is None else str(message)
        self.exit_code = 1 if exit_code is None else exit_code
        super().__init__(self.message)
        self.__cause__ = cause


class ShutdownCommandReceived(RuntimeError):
    """A peer requested a shutdown.

    It takes the same arguments as ``CommandExecutionError``; its exit code is always 143.

    Attributes:
        message: the text received, by default "SHUTDOWN".
        exit_code: 143, as after SIGTERM.

    Raises:
        TypeError: The message is not text, or another part is of the wrong type.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        cause, message, _ = _parts(type(self).__name__, args, kwargs)
        if message is None:
            message = "SHUTDOWN"
        if not isinstance(message, str):
            raise TypeError(f"message must be str, got {type(message).__name__}")
        self.message = message
        self.exit_code = _SHUTDOWN_EXIT_CODE
        super().__init__(message)
        self.__cause__ = cause


class MulticastError(OSError):
    """The base class of the errors that receivers and senders raise without a failed system call."""


class ClosedError(MulticastError):
    """A receiver or sender was used after it was closed, or was closed during the call (errno EBADF)."""


class UnsupportedError(MulticastError):
    """This platform, or the configuration of this machine, does not support the operation (errno EOPNOTSUPP)."""


def _parts(
    name: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[BaseException | None, object, int | None]:
    """Return the cause, the message and the exit code given to an exception.

    None stands for an absent part.
    """
    parts: dict[str, object] = {"__cause__": None, "message": None, "exit_code": None}
    order = ["message", "exit_code"]
    if args and isinstance(args[0], BaseException):
        order.insert(0, "__cause__")
    if len(args) > len(order):
        raise TypeError(f"{name} takes at most a cause, a message and an exit code, got {len(args)} values")
    for key in kwargs:
        if key not in parts:
            raise TypeError(f"{name} takes no keyword {key!r} (use message, exit_code or __cause__)")
    parts.update(zip(order, args, strict=False))
    parts.update(kwargs)
    cause, exit_code = parts["__cause__"], parts["exit_code"]
    if cause is not None and not isinstance(cause, BaseException):
        raise TypeError(f"__cause__ must be an exception, got {type(cause).__name__}")
    if exit_code is not None and not isinstance(exit_code, int):
        raise TypeError(f"exit_code must be int, got {type(exit_code).__name__}")
    return cause, parts["message"], exit_code


def validate_exit_code(code: int) -> None:
    """Check that ``code`` is a valid exit code of a process.

    Raises:
        ValueError: ``code`` is not an integer in 0-255.
    """
    if not isinstance(code, int) or not 0 <= code <= 255:
        raise ValueError(f"code must be an integer in 0-255, got {code!r}")


def get_exit_code_from_exception(exc: object) -> int:
    """Return the exit code of exception ``exc``: that of its most specific class in ``EXIT_CODES``.

    The package's own two exceptions carry their code. An ``exc`` that is not an exception gives 70.
    """
    if isinstance(exc, (CommandExecutionError, ShutdownCommandReceived)):
        return exc.exit_code
    codes = _exception_exit_codes()
    return next((codes[kind] for kind in type(exc).__mro__ if kind in codes), _INTERNAL_EXIT_CODE)


def exit_on_exception(func: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap ``func`` so that any exception it raises becomes a ``SystemExit`` with that exception's exit code.

    A ``SystemExit`` keeps its code if that is an integer, and gets the code 2 otherwise.
    """

    @functools.wraps(func)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return func(*args, **kwargs)
        except SystemExit as error:
            raise SystemExit(error.code if isinstance(error.code, int) else _UNCLEAR_EXIT_CODE) from error
        except BaseException as error:
            raise SystemExit(get_exit_code_from_exception(error)) from error

    return wrapper


@functools.cache
def _exit_codes() -> dict[int, tuple[type[BaseException] | None, str]]:
    """Return the table: BSD's sysexits in 64-78, shell conventions from 125 up."""
    import argparse  # noqa: PLC0415 - see the top of the file

    return {
        0: (None, "Success"),
        1: (RuntimeError, "General Error"),
        2: (OSError, "Misuse of Shell Builtins"),
        64: (argparse.ArgumentError, "Usage Error"),
        65: (ValueError, "Data Error"),
        66: (FileNotFoundError, "No Input"),
        69: (ConnectionError, "Unavailable Service"),
        70: (Exception, "Internal Software Error"),
        77: (PermissionError, "Permission Denied"),
        125: (BaseException, "Critical Failure"),
        126: (AssertionError, "Command Invoked Cannot Execute"),
        127: (ModuleNotFoundError, "Command Not Found"),
        129: (None, "Hangup (SIGHUP)"),
        130: (KeyboardInterrupt, "Interrupt (SIGINT)"),
        134: (None, "Abort (SIGABRT)"),
        137: (None, "Killed (SIGKILL)"),
        141: (BrokenPipeError, "Broken Pipe (SIGPIPE)"),
        143: (SystemExit, "Terminated (SIGTERM)"),
        255: (None, "Exit Status Out of Range"),
    }


@functools.cache
def _exception_exit_codes() -> dict[type[BaseException], int]:
    return {kind: code for code, (kind, _) in _exit_codes().items() if kind is not None}


if not TYPE_CHECKING:  # type checkers use the declarations above

    def __getattr__(name: str) -> object:
        if name == "EXIT_CODES":
            return _exit_codes()
        if name == "EXCEPTION_EXIT_CODES":
            return _exception_exit_codes()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
