"""The log record about a receive buffer that is smaller than requested."""

from __future__ import annotations

import logging

from . import _arguments, _core

_logger = logging.getLogger("multicast")
_logged = False


def log(receiver: _core.Receiver) -> None:
    """Log, once for the process, that the kernel granted a smaller buffer, and which setting allows more."""
    global _logged  # noqa: PLW0603
    granted = receiver._counters()["recv_buffer_actual"]
    if granted < _arguments.AUTO_RECV_BUFFER and not _logged:
        _logged = True
        _logger.info(
            "The system granted a receive buffer of %d bytes instead of %d. Datagrams of longer bursts are dropped and "
            "counted. To allow the whole buffer: sysctl -w %s=%d",
            granted,
            _arguments.AUTO_RECV_BUFFER,
            _core._receive_buffer_setting(),
            _arguments.AUTO_RECV_BUFFER,
        )
