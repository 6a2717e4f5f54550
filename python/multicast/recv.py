"""The 2.x tool that receives once, ``McastRECV``, and its steps ``joinstep``, ``tryrecv`` and ``recvstep``.

``joinstep`` returns a plain socket of the standard library. ``tryrecv`` and ``recvstep`` read one datagram
from such a socket. To listen for longer, use ``hear``.
"""

from __future__ import annotations

import errno
import logging
import socket
import warnings
from typing import TYPE_CHECKING

from . import skt
from ._common import console
from ._common.constants import (
    _BLANK,
    _MCAST_DEFAULT_BIND_IP,
    _MCAST_DEFAULT_GROUPS,
    _MCAST_DEFAULT_PORT,
)
from ._common.text import decode_for_display
from ._legacy.join_options import as_list, receiver_kwargs
from ._legacy.tool import mtool

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeVar

    Buffer = TypeVar("Buffer", str, list[str])

__all__ = ["McastRECV", "joinstep", "recvstep", "tryrecv"]

module_logger = logging.getLogger(__name__)

# Room for any UDP datagram: the length field has 16 bits (RFC 768).
_LARGEST_DATAGRAM = 65535
# Seconds that RECV waits for a datagram.
_DEFAULT_TIMEOUT = 1.0


def joinstep(
    groups: Sequence[str] | None,
    port: int,
    iface: str | int | None = None,
    bind_group: str | None = None,
    isock: socket.socket | None = None,
) -> socket.socket:
    """Return a socket that is bound to ``port`` and has joined ``groups``. The caller closes it.

    Args:
        groups: the groups to join.
        port: UDP port, 0-65535; 0 takes a free one.
        iface: name, index or address of the interface to join on, or ``"all"``. None lets the system's routes
            decide.
        bind_group: one more group; or an address of this machine, or ``"0.0.0.0"``, to bind to.
        isock: a socket to set up instead of a new one. The result is a duplicate of it; the caller closes both.

    Raises:
        OSError: The socket cannot be opened, bound or joined. The message names the group and the interface.
    """
    wanted = as_list(groups)
    if bind_group is None:
        _warn_of_default(wanted)
    from .sync import Receiver  # noqa: PLC0415 - imports the compiled core, which the package's import does not need

    try:
        options = receiver_kwargs(wanted, bind_group, iface)
        if isock is None:
            # A caller that reads the socket directly expects one datagram per call.
            receiver = Receiver(port=port, gro=False, timestamps=False, receive_ttl=False, **options)
        else:
            receiver = Receiver.adopt(isock, port=port, timestamps=False, receive_ttl=False, **options)
        with receiver:
            return socket.socket(fileno=receiver.detach())
    except ValueError as error:
        # Callers of this function expect OSError, as from the socket functions.
        raise OSError(errno.EINVAL, f"cannot join: {error}") from error


def _warn_of_default(groups: list[str]) -> None:
    """Warn a caller of `joinstep` that gave no bind group, if the result may not be the one intended."""
    if not groups:
        warnings.warn("No group to join was given; joining the default group.", SyntaxWarning, stacklevel=3)
    elif len(groups) == 1 and groups[0] != _MCAST_DEFAULT_BIND_IP:
        warnings.warn(
            f"The group {groups[0]} is not the default bind address {_MCAST_DEFAULT_BIND_IP}; "
            "pass it as bind_group too.",
            ResourceWarning,
            stacklevel=3,
        )


def tryrecv(msgbuffer: Buffer, chunk: bytes | None, sock: socket.socket) -> Buffer:  # noqa: ARG001
    """Receive one datagram from ``sock`` and return ``msgbuffer`` with its text appended.

    Args:
        msgbuffer: text, or a list of texts.
        chunk: not used.
        sock: a bound socket. Its own timeout applies.

    Raises:
        TimeoutError: The socket has a timeout, and no datagram arrived in that time.
        OSError: The system cannot receive; ``errno`` says why.
    """
    text = decode_for_display(sock.recv(_LARGEST_DATAGRAM))
    if isinstance(msgbuffer, list):
        msgbuffer.append(text)
        return msgbuffer
    return msgbuffer + text


def recvstep(msgbuffer: Buffer, chunk: bytes | None, sock: socket.socket) -> Buffer:
    """Receive one datagram like `tryrecv`, and close ``sock``, even after an error."""
    try:
        return tryrecv(msgbuffer, chunk, sock)
    finally:
        skt.endSocket(sock)


class _ReceivedText(str):
    """The text of a received datagram. It is true even if it is empty, because an empty datagram is a datagram."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


class McastRECV(mtool):
    """Receive one datagram, or report that none arrived in time."""

    __proc__ = "RECV"
    __prologue__ = "Receive one message."
    __epilogue__ = (
        "With --daemon it keeps listening, like HEAR. If no message arrives in time, the exit code is 70."
    )

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of RECV to ``parser``."""
        if parser is None:
            return
        # These import argparse, which only the command line needs.
        from ._common import argument_types  # noqa: PLC0415
        from ._legacy import options  # noqa: PLC0415

        options.add_port(parser, "listen on this port")
        options.add_listening(parser, _MCAST_DEFAULT_GROUPS)
        parser.add_argument(
            "--timeout",
            type=argument_types.seconds,
            default=_DEFAULT_TIMEOUT,
            metavar="SECONDS",
            help="wait this long for one message (default: %(default)s)",
        )

    def doStep(
        self,
        *args: Any,  # noqa: ARG002 - every tool accepts positional arguments
        groups: Iterable[str] | None = None,
        port: int | None = None,
        iface: str | int | None = None,
        group: str | None = None,
        is_std: bool = False,
        is_daemon: bool = False,  # noqa: ARG002 - an option that RECV and HEAR share
        timeout: float | None = _DEFAULT_TIMEOUT,
        source: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        **extra: object,
    ) -> tuple[bool, str | None]:
        """Receive one datagram and return ``(True, text)``, or ``(False, None)`` if none arrives in time.

        Args:
            args: not used.
            groups: the groups to receive. If neither they nor ``group`` are given, the default groups.
            port: UDP port, 1-65535. None is the default port.
            iface: name, index or address of the interface to join on, or ``"all"``. None lets the system's routes
                decide.
            group: one more group, the primary one.
            is_std: print the text on standard output.
            is_daemon: not used.
            timeout: seconds to wait. None waits without a limit.
            source: the only senders to receive from, one address or several (source-specific multicast).
            exclude: senders not to receive from.
            extra: logged and not used.

        Raises:
            OSError: The socket cannot be opened, bound or joined, or standard output cannot be written; ``errno``
                says why.
            ValueError: A group, port, interface, source or timeout is invalid.
            TypeError: An argument is of the wrong type.
        """
        self._log_unused(extra)
        wanted = as_list(groups)
        if not wanted and group is None:
            wanted = list(_MCAST_DEFAULT_GROUPS)
        port = _MCAST_DEFAULT_PORT if port is None else port
        module_logger.debug("RECV")
        # Programs replace `_hearstep` by functions of four arguments, so options left at their default are not passed.
        choices: dict[str, Any] = {} if timeout == _DEFAULT_TIMEOUT else {"timeout": timeout}
        choices |= {name: value for name, value in (("source", source), ("exclude", exclude)) if value}
        text = self._hearstep(wanted, port, iface, group, **choices)
        if not text:
            module_logger.debug("Nothing Received.")
            return False, None
        if is_std:
            module_logger.debug("Will Print to Console.")
            console.show(text)
        module_logger.info("Success")
        return True, str(text)

    @staticmethod
    def _hearstep(
        groups: Iterable[str],
        port: int,
        iface: str | int | None,
        bind_group: str | None,
        timeout: float | None = _DEFAULT_TIMEOUT,
        *,
        source: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
    ) -> str:
        """Return the text of one datagram, or a false value if none arrived."""
        from .sync import Receiver  # noqa: PLC0415 - imports the compiled core, which the package's import does not need

        with Receiver(port=port, **receiver_kwargs(groups, bind_group, iface, source, exclude)) as receiver:
            try:
                return _ReceivedText(decode_for_display(receiver.recv(timeout).data))
            except TimeoutError:
                return _BLANK
