"""The documented defaults, and the ``MULTICAST_*`` environment variables that override them.

Reading and checking only: the constants that the package takes from here live in ``_defaults``. A variable that holds
a bad value costs one warning, which says what is used instead, and never an error: a program that runs for others
should not die of a stray setting.
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
        """What ``load_config`` returns."""

        port: int
        group: str
        groups: list[str]
        ttl: int
        bind_addr: str
        buffer_size: int


# Any port of the dynamic range would do (RFC 6335 section 6); this one is registered nowhere.
DEFAULT_PORT = 59595
# All systems on this network: never forwarded by a router (RFC 5771 section 4).
DEFAULT_GROUP = "224.0.0.1"
# Going beyond one network takes an explicit choice (RFC 1112 section 6.1).
DEFAULT_TTL = 1
# Fits an Ethernet frame with room for tunnels: seven 188-byte MPEG-TS packets, the common unit of multicast.
DEFAULT_BUFFER_SIZE = 1316

# The dynamic ports of RFC 6335 section 6.
_PORTS = range(49152, 65536)
_TTLS = range(1, 127)
# 65,535 bytes of an IPv4 packet, less 20 of its header and 8 of the UDP header.
_BUFFER_SIZES = range(1, 65508)


def validate_buffer_size(size: object) -> bool:
    """Tell whether ``size`` is a buffer size in bytes that UDP over IPv4 can use, 1-65507.

    Raises:
        ValueError: ``size`` is no integer and no text of one.
    """
    return _integer(size) in _BUFFER_SIZES


def validate_port(port: object) -> bool:
    """Tell whether ``port`` is a dynamic UDP port, 49152-65535.

    Raises:
        ValueError: ``port`` is no integer and no text of one.
    """
    return _integer(port) in _PORTS


def validate_ttl(ttl: object) -> bool:
    """Tell whether ``ttl`` is a number of hops that the package's settings allow, 1-126.

    Raises:
        ValueError: ``ttl`` is no integer and no text of one.
    """
    return _integer(ttl) in _TTLS


def validate_multicast_address(addr: object) -> bool:
    """Tell whether ``addr``, text or an ``ipaddress.IPv4Address``, is an IPv4 multicast address (224.0.0.0/4)."""
    packed = _packed(addr)
    return packed is not None and 224 <= packed[0] <= 239


def load_port() -> int:
    """Return ``MULTICAST_PORT`` (49152-65535), or the default 59595 with a warning where it is no such port."""
    return _load("MULTICAST_PORT", DEFAULT_PORT, _integer, validate_port, "a port in 49152-65535")


def load_group() -> IPv4Address:
    """Return ``MULTICAST_GROUP``, or the default 224.0.0.1 with a warning where it is no multicast address."""
    # Taken in here only: the module would be a good part of what importing this package costs.
    from ipaddress import IPv4Address  # noqa: PLC0415

    return IPv4Address(_load_group())


def load_TTL() -> int:
    """Return ``MULTICAST_TTL`` (1-126 hops), or the default 1 with a warning where it is no such number."""
    return _load("MULTICAST_TTL", DEFAULT_TTL, _integer, validate_ttl, "a number of hops in 1-126")


def load_buffer_size() -> int:
    """Return ``MULTICAST_BUFFER_SIZE`` (1-65507 bytes), or the default 1316 with a warning where it is no such size."""
    return _load(
        "MULTICAST_BUFFER_SIZE",
        DEFAULT_BUFFER_SIZE,
        _integer,
        validate_buffer_size,
        "a number of bytes in 1-65507",
    )


def load_config() -> Config:
    """Return all settings: ``port``, ``group``, ``groups``, ``ttl``, ``bind_addr`` and ``buffer_size``.

    ``groups`` is sorted and holds the primary group, the groups of ``MULTICAST_GROUPS`` (separated by spaces; a bad
    one is left out with a warning) and, where it is a multicast address, the bind address.
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
            _warn(f"MULTICAST_GROUPS: {entry!r} is not an IPv4 multicast address and is left out")
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
    name: str, default: Value, read: Callable[[str], Value], valid: Callable[[Value], bool], wanted: str
) -> Value:
    """Return what variable ``name`` holds, or ``default`` where it is not set or, with a warning, not ``wanted``."""
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = read(text)
        if valid(value):
            return value
    except ValueError:
        pass  # no number at all: told below, as a number out of range is
    _warn(f"{name}: {text!r} is not {wanted}; using {default}")
    return default


def _warn(message: str) -> None:
    # No frame of ours would tell the reader more than the message, which names the variable.
    warnings.warn(message, UserWarning, stacklevel=3)


def _integer(value: object) -> int:
    if isinstance(value, (int, str)):
        return int(value)
    raise ValueError(f"not an integer: {value!r}")


def _packed(addr: object) -> bytes | None:
    # Taken in here only: without settings to check, importing this package does without it.
    import socket  # noqa: PLC0415

    try:
        return socket.inet_pton(socket.AF_INET, addr if isinstance(addr, str) else str(addr))
    except (OSError, ValueError):  # no dotted quad; or text that cannot even be passed on, such as "\0"
        return None


def _is_ipv4(addr: str) -> bool:
    return _packed(addr) is not None
