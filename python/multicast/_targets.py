"""What a receiving tool joins and binds, out of the groups and addresses that it was given. No socket is opened."""

from ._defaults import _MCAST_DEFAULT_BIND_IP, _MCAST_DEFAULT_GROUP
from .env import validate_multicast_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypedDict

    class Listening(TypedDict):
        """The arguments of ``sync.Receiver`` that say where it listens."""

        group: list[str]
        bind: str | None
        interface: str | int | None
        strict: bool


_WILDCARDS = ("0.0.0.0", "::")


def is_group(text: str) -> bool:
    """Tell whether ``text`` names a group, be it with a source before it and an interface behind it."""
    host = text.rpartition("@")[2].partition("%")[0].strip("[]")
    # RFC 4291 section 2.7: ff00::/8. The core reads the address to its end and refuses what is none.
    return validate_multicast_address(host) or (":" in host and host[:2].lower() == "ff")


def listening(groups: "Iterable[str]", host: str | None, interface: str | int | None) -> "Listening":
    """Return how to receive ``groups`` and what ``host`` stands for.

    A ``host`` that is a group is one group more. An address of this machine, or the wildcard, is bound to, and then
    all comes in that the system delivers there, what other programs joined included. None is the default bind
    address. Where no group is named at all, the default group is joined.
    """
    if host is None and not is_group(_MCAST_DEFAULT_BIND_IP):
        host = _MCAST_DEFAULT_BIND_IP
    named = list(dict.fromkeys(groups))
    if host is None or is_group(host):
        if host is not None and host not in named:
            named.insert(0, host)
        return {
            "group": named or [_MCAST_DEFAULT_GROUP],
            "bind": None,
            "interface": interface,
            "strict": True,
        }
    if interface is None and host not in _WILDCARDS:
        interface = host
    return {"group": named or [_MCAST_DEFAULT_GROUP], "bind": host, "interface": interface, "strict": False}
