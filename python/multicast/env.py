"""The documented defaults, and the ``MULTICAST_*`` environment variables that override them.

This module reads and checks the settings; the package's constants are in ``_common.constants``. An invalid value gives
one warning, which says what is used instead, and never an error: a stray setting should not stop a program.

Every import of the package loads this module, so it imports ``socket``, ``ipaddress`` and ``typing`` only when it
needs them.
"""

from __future__ import annotations

import os
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address
    from typing import TypedDict, TypeVar

    Value = TypeVar("Value")

    class Config(TypedDict):
        """The result of ``load_config``."""

        port: int
        group: str
        groups: list[str]
        ttl: int
        bind_addr: str
        buffer_size: int


# An unregistered port of the dynamic range (RFC 6335 section 6).
DEFAULT_PORT = 59595
# All systems on this network; routers never forward it (RFC 5771 section 4).
DEFAULT_GROUP = "224.0.0.1"
# Leaving the local network takes an explicit choice (RFC 1112 section 6.1).
DEFAULT_TTL = 1
# Seven 188-byte MPEG-TS packets, the common unit of multicast; fits an Ethernet frame with room for tunnels.
DEFAULT_BUFFER_SIZE = 1316

# The dynamic ports of RFC 6335 section 6.
_PORTS = range(49152, 65536)
_TTLS = range(1, 127)
# An IPv4 packet has at most 65,535 bytes, of which its header takes 20 and the UDP header 8.
_BUFFER_SIZES = range(1, 65508)


def validate_buffer_size(size: object) -> bool:
    """Return whether ``size`` is a buffer size that UDP over IPv4 can use, 1-65507 bytes.

    Raises:
        ValueError: ``size`` is neither an integer nor the text of one.
    """
    return _integer(size) in _BUFFER_SIZES


def validate_port(port: object) -> bool:
    """Return whether ``port`` is a dynamic UDP port, 49152-65535.

    Raises:
        ValueError: ``port`` is neither an integer nor the text of one.
    """
    return _integer(port) in _PORTS


def validate_ttl(ttl: object) -> bool:
    """Return whether ``ttl`` is a number of hops that the settings allow, 1-126.

    Raises:
        ValueError: ``ttl`` is neither an integer nor the text of one.
    """
    return _integer(ttl) in _TTLS


def validate_multicast_address(addr: object) -> bool:
    """Return whether ``addr``, text or an ``ipaddress.IPv4Address``, is an IPv4 multicast address (224.0.0.0/4)."""
    packed = _packed(addr)
    return packed is not None and 224 <= packed[0] <= 239


def load_port() -> int:
    """Return ``MULTICAST_PORT`` (49152-65535); if it is invalid, warn and return the default 59595."""
    return _load("MULTICAST_PORT", DEFAULT_PORT, _integer, validate_port, "a port in 49152-65535")


def load_group() -> IPv4Address:
    """Return ``MULTICAST_GROUP``; if it is not an IPv4 multicast address, warn and return the default 224.0.0.1."""
    from ipaddress import IPv4Address  # noqa: PLC0415 - see the top of the file

    return IPv4Address(_load_group())


def load_TTL() -> int:
    """Return ``MULTICAST_TTL`` (1-126 hops); if it is invalid, warn and return the default 1."""
    return _load("MULTICAST_TTL", DEFAULT_TTL, _integer, validate_ttl, "a number of hops in 1-126")


def load_buffer_size() -> int:
    """Return ``MULTICAST_BUFFER_SIZE`` (1-65507 bytes); if it is invalid, warn and return the default 1316."""
    return _load(
        "MULTICAST_BUFFER_SIZE",
        DEFAULT_BUFFER_SIZE,
        _integer,
        validate_buffer_size,
        "a number of bytes in 1-65507",
    )


def load_config() -> Config:
    """Return all settings: ``port``, ``group``, ``groups``, ``ttl``, ``bind_addr`` and ``buffer_size``.

    ``groups`` is sorted. It holds the primary group, the groups of ``MULTICAST_GROUPS`` (separated by spaces; an
    invalid one is skipped with a warning) and, if it is a multicast address, the bind address.
    """
    group = _load_group()
    bind_addr = _load("MULTICAST_BIND_ADDR", group, str, _is_ipv4, "an IPv4 address")
    groups = {group}
    if bind_addr != group and validate_multicast_address(bind_addr):
        groups.add(bind_addr)
    for entry in os.environ.get("MULTICAST_GROUPS", "").split():
        if validate_multicast_address(entry):
            groups.add(entry)
        else:
            _warn(f"MULTICAST_GROUPS must hold IPv4 multicast addresses, got {entry!r}; skipping it")
    return {
        "port": load_port(),
        "group": group,
        "groups": sorted(groups),
        "ttl": load_TTL(),
        "bind_addr": bind_addr,
        "buffer_size": load_buffer_size(),
    }


def _load_group() -> str:
    return _load(
        "MULTICAST_GROUP", DEFAULT_GROUP, str, validate_multicast_address, "an IPv4 multicast address"
    )


def _load(
    name: str, default: Value, read: Callable[[str], Value], valid: Callable[[Value], bool], rule: str
) -> Value:
    """Return the value of variable ``name``, or ``default`` if it is not set or, with a warning, not ``valid``."""
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = read(text)
        if valid(value):
            return value
    except ValueError:
        pass  # not a number; the warning below covers it
    _warn(f"{name} must be {rule}, got {text!r}; using {default}")
    return default


def _warn(message: str) -> None:
    # The message names the variable; no stack frame of this package would tell the reader more.
    warnings.warn(message, UserWarning, stacklevel=3)


def _integer(value: object) -> int:
    if isinstance(value, int):
        return int(value)
    # int() also reads spaces, underscores and the digits of other scripts.
    if isinstance(value, str) and value.isascii() and value.lstrip("+-").isdigit():
        return int(value)
    raise ValueError(f"value must be an integer, got {value!r}")


def _packed(addr: object) -> bytes | None:
    import socket  # noqa: PLC0415 - see the top of the file

    try:
        return socket.inet_pton(socket.AF_INET, addr if isinstance(addr, str) else str(addr))
    except (OSError, ValueError):  # not a dotted quad, or text that no system call takes, such as "\0"
        return None


def _is_ipv4(addr: str) -> bool:
    return _packed(addr) is not None
