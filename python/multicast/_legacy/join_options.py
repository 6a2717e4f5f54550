"""Translation of the groups and addresses given to a 2.x tool into the arguments of ``sync.Receiver``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._common.constants import _MCAST_DEFAULT_BIND_IP, _MCAST_DEFAULT_GROUP
from ..env import validate_multicast_address

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypedDict

    class ReceiverKwargs(TypedDict):
        """The arguments of ``sync.Receiver`` that say what it receives, and where."""

        group: list[str]
        bind: str | None
        interface: str | int | None
        source: list[str]
        exclude: list[str]
        strict: bool


_WILDCARDS = ("0.0.0.0", "::")


def is_group(text: str) -> bool:
    """Return whether ``text`` names a group or a range of groups, with or without sources and an interface."""
    host = text.rpartition("@")[2].partition("%")[0].strip("[]").partition("+")[0].partition("/")[0]
    # RFC 4291 section 2.7: ff00::/8. The core parses the whole address and rejects a malformed one.
    return validate_multicast_address(host) or (":" in host and host[:2].lower() == "ff")


def as_list(texts: str | Iterable[str] | None) -> list[str]:
    """Return ``texts`` as a list; None is an empty list, and a single text a list of one."""
    return [texts] if isinstance(texts, str) else list(texts or ())


def receiver_kwargs(
    groups: Iterable[str],
    host: str | None,
    interface: str | int | None,
    source: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
) -> ReceiverKwargs:
    """Return the arguments of ``sync.Receiver`` for these groups.

    Args:
        groups: the groups to join. If neither they nor ``host`` name a group, the default group is joined.
        host: one more group; or an address of this machine, or the wildcard, to bind to. A receiver bound to an
            address gets everything the system delivers there, including groups that other programs joined. None is
            the default bind address.
        interface: the interface to join on. None is the interface of the bound address, if there is one.
        source: the only senders wanted.
        exclude: senders that are not wanted.
    """
    if host is None and not is_group(_MCAST_DEFAULT_BIND_IP):
        host = _MCAST_DEFAULT_BIND_IP
    wanted = list(dict.fromkeys(groups))
    bind = None
    if host is not None and is_group(host):
        if host not in wanted:
            wanted.insert(0, host)
    elif host is not None:
        bind = host
        if interface is None and host not in _WILDCARDS:
            interface = host
    return {
        "group": wanted or [_MCAST_DEFAULT_GROUP],
        "bind": bind,
        "interface": interface,
        "source": as_list(source),
        "exclude": as_list(exclude),
        "strict": bind is None,
    }
