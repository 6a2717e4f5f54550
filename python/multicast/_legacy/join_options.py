"""What a receiving tool joins and binds, out of the groups and addresses that it was given. No socket is opened."""

from __future__ import annotations

from .._common.constants import _MCAST_DEFAULT_BIND_IP, _MCAST_DEFAULT_GROUP
from ..env import validate_multicast_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypedDict

    class Listening(TypedDict):
        """The arguments of ``sync.Receiver`` that say where it listens."""

        group: list[str]
        bind: str | None
        interface: str | int | None
        source: list[str]
        exclude: list[str]
        strict: bool


_WILDCARDS = ("0.0.0.0", "::")


def is_group(text: str) -> bool:
    """Tell whether ``text`` names a group, or several, be it with a source before it and an interface behind it."""
    host = text.rpartition("@")[2].partition("%")[0].strip("[]").partition("+")[0].partition("/")[0]
    # RFC 4291 section 2.7: ff00::/8. The core reads the address to its end and refuses what is none.
    return validate_multicast_address(host) or (":" in host and host[:2].lower() == "ff")


def named(texts: str | Iterable[str] | None) -> list[str]:
    """Return ``texts``, which may be one or none, as a list."""
    return [texts] if isinstance(texts, str) else list(texts or ())


def receiver_kwargs(
    groups: Iterable[str],
    host: str | None,
    interface: str | int | None,
    source: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
) -> Listening:
    """Return how to receive ``groups`` and what ``host`` stands for, of the senders that are wanted.

    A ``host`` that is a group is one group more. An address of this machine, or the wildcard, is bound to, and then
    all comes in that the system delivers there, what other programs joined included. None is the default bind
    address. Where no group is named at all, the default group is joined.
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
        "source": named(source),
        "exclude": named(exclude),
        "strict": bind is None,
    }
