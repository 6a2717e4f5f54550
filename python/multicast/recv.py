"""``McastRECV``, the documented tool that receives once, and the steps that it is known by.

``joinstep`` gives a plain socket of the standard library; ``tryrecv`` and ``recvstep`` read one datagram from such a
socket. What listens for longer is in ``hear``.
"""

from __future__ import annotations

import errno
import logging
import socket
import warnings

from . import skt
from ._common import console
from ._common.constants import (
    _BLANK,
    _MCAST_DEFAULT_BIND_IP,
    _MCAST_DEFAULT_GROUPS,
    _MCAST_DEFAULT_PORT,
)
from ._common.text import decode_for_display
from ._legacy.join_options import named, receiver_kwargs
from ._legacy.tool import mtool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeVar

    Buffer = TypeVar("Buffer", str, list[str])

__all__ = ["McastRECV", "joinstep", "recvstep", "tryrecv"]

module_logger = logging.getLogger(__name__)

# Room for any UDP datagram: its length field has 16 bits (RFC 768).
_LARGEST_DATAGRAM = 65535
# Seconds that RECV waits for something to come.
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
        iface: interface to join on, as name, index or address, or ``"all"``; None leaves it to the system's routes.
        bind_group: one group more; or an address of this machine, or ``"0.0.0.0"``, to bind to.
        isock: a socket to set up, rather than a new one: the result is a duplicate of it, and both are the caller's.

    Raises:
        OSError: the socket cannot be had, bound or joined. ``errno`` tells why, the message what, where and why.
    """
    wanted = named(groups)
    if bind_group is None:
        _warn_of_default(wanted)
    from .sync import Receiver  # noqa: PLC0415 - loads the compiled core, which importing the package does not

    try:
        options = receiver_kwargs(wanted, bind_group, iface)
        if isock is None:
            # Code that reads the socket by itself expects one datagram a call.
            receiver = Receiver(port=port, gro=False, timestamps=False, **options)
        else:
            receiver = Receiver.adopt(isock, port=port, timestamps=False, **options)
        with receiver:
            return socket.socket(fileno=receiver.detach())
    except ValueError as problem:
        # Callers of this function know one kind of error, as those of the socket functions do.
        raise OSError(errno.EINVAL, f"cannot join: {problem}") from problem


def _warn_of_default(groups: list[str]) -> None:
    """Warn a caller of `joinstep` who named no bind group of what that may not be meant."""
    if not groups:
        warnings.warn("No group to join was given; joining the default group.", SyntaxWarning, stacklevel=3)
    elif len(groups) == 1 and groups[0] != _MCAST_DEFAULT_BIND_IP:
        warnings.warn(
            f"The group {groups[0]} is not the default bind address {_MCAST_DEFAULT_BIND_IP}; "
            "name it as the bind group too.",
            ResourceWarning,
            stacklevel=3,
        )


def tryrecv(msgbuffer: Buffer, chunk: bytes | None, sock: socket.socket) -> Buffer:  # noqa: ARG001
    """Receive one datagram from ``sock`` and return ``msgbuffer`` with its text appended.

    Args:
        msgbuffer: text, or a list of texts.
        chunk: not used; part of the call's shape.
        sock: a bound socket; its own timeout holds.

    Raises:
        TimeoutError: the socket has a timeout and nothing came in that time.
        OSError: receiving failed; ``errno`` tells why.
    """
    text = decode_for_display(sock.recv(_LARGEST_DATAGRAM))
    if isinstance(msgbuffer, list):
        msgbuffer.append(text)
        return msgbuffer
    return msgbuffer + text


def recvstep(msgbuffer: Buffer, chunk: bytes | None, sock: socket.socket) -> Buffer:
    """Do as `tryrecv` does, and close ``sock`` whatever comes of it."""
    try:
        return tryrecv(msgbuffer, chunk, sock)
    finally:
        skt.endSocket(sock)


class _Heard(str):
    """The text of a datagram, which is true even where it is empty: an empty datagram is not silence."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


class McastRECV(mtool):
    """Receives one datagram, or finds that none came."""

    __proc__ = "RECV"
    __prologue__ = "Receives one message."
    __epilogue__ = (
        "With --daemon it goes on listening, as HEAR does. Where nothing comes, the exit code is 70."
    )

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of RECV to ``parser``."""
        if parser is None:
            return
        # Loads argparse, which only the command line needs.
        from ._common import argument_types  # noqa: PLC0415
        from ._legacy import options  # noqa: PLC0415

        options.add_port(parser, "the port to listen on")
        options.add_listening(parser, _MCAST_DEFAULT_GROUPS)
        parser.add_argument(
            "--timeout",
            type=argument_types.seconds,
            default=_DEFAULT_TIMEOUT,
            metavar="SECONDS",
            help="how long to wait for one message (default: %(default)s)",
        )

    def doStep(
        self,
        *args: Any,  # noqa: ARG002 - the shape that every tool is called in
        groups: Iterable[str] | None = None,
        port: int | None = None,
        iface: str | int | None = None,
        group: str | None = None,
        is_std: bool = False,
        is_daemon: bool = False,  # noqa: ARG002 - part of the options that listeners share
        timeout: float | None = _DEFAULT_TIMEOUT,
        source: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        **extra: object,
    ) -> tuple[bool, str | None]:
        """Receive one datagram: ``(True, text)``, or ``(False, None)`` where nothing came.

        Args:
            args: not used.
            groups: the groups to receive; None and no ``group`` are the default groups.
            port: UDP port, 1-65535; None is the default port.
            iface: interface to join on, as name, index or address, or ``"all"``; None leaves it to the system's routes.
            group: one group more, the primary one.
            is_std: print the text on standard output.
            is_daemon: not used.
            timeout: seconds to wait; None waits for ever.
            source: the only senders wanted, one address or several (source-specific multicast).
            exclude: senders that are not wanted.
            extra: not used, but logged.

        Raises:
            OSError: the socket cannot be had, bound or joined, or the text not be printed; ``errno`` tells why.
            ValueError: a group, port, interface, source or timeout is none.
            TypeError: an argument is of a wrong type.
        """
        self._tell_ignored(extra)
        wanted = named(groups)
        if not wanted and group is None:
            wanted = list(_MCAST_DEFAULT_GROUPS)
        port = _MCAST_DEFAULT_PORT if port is None else port
        module_logger.info("RECV")
        # Programs replace `_hearstep` by functions of four arguments: what is not asked for is not passed on.
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
        """Return the text of one datagram; what is false stands for nothing having come."""
        from .sync import Receiver  # noqa: PLC0415 - loads the compiled core, which importing the package does not

        with Receiver(port=port, **receiver_kwargs(groups, bind_group, iface, source, exclude)) as receiver:
            try:
                return _Heard(decode_for_display(receiver.recv(timeout).data))
            except TimeoutError:
                return _BLANK
