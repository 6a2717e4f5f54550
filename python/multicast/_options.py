"""Options that several tools share, and what each kind of value must be. For ``argparse`` alone.

A value is checked here so far as its text tells; whether an interface or a route exists is for the system to say.
"""

import argparse
import ipaddress
import math

from . import endpoints
from ._defaults import _MCAST_DEFAULT_PORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_MANY = "239.1.2.3+10 (ten from there on) and 239.1.2.0/24 are several"
_IPV4_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
# Interface indexes are C ints above zero.
_HIGHEST_INDEX = 2**31 - 1


class Words(argparse.Action):
    """Takes the rest of the line as words, of which there must be one at least."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: "str | Sequence[Any] | None",
        option_string: str | None = None,  # noqa: ARG002 - argparse's signature
    ) -> None:
        """Store the words."""
        if not values:
            parser.error(f"argument {'/'.join(self.option_strings)}: expected at least one argument")
        setattr(namespace, self.dest, values)


def add_port(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add ``--port``."""
    parser.add_argument(
        "--port", type=port, default=_MCAST_DEFAULT_PORT, help=f"{meaning}, 1-65535 (default: %(default)s)"
    )


def add_destinations(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--group``, ``--groups`` and ``--iface`` for one who sends."""
    parser.add_argument(
        "--group",
        type=destination,
        help="the group to send to, such as 239.1.2.3, ff15::1 or ff02::1%%eth0; "
        f"{_MANY} (default: {default})",
    )
    parser.add_argument(
        "--groups", type=destination, nargs="+", metavar="GROUP", help="more groups to send the same to"
    )
    parser.add_argument(
        "--iface",
        type=one_interface,
        help="the interface to send by: a name, an index or an address (default: the system's choice)",
    )


def add_listening(parser: argparse.ArgumentParser, defaults: "Iterable[str]") -> None:
    """Add ``--group``, ``--groups``, ``--iface``, ``--source`` and ``--exclude`` for one who receives."""
    parser.add_argument(
        "--group",
        type=group,
        help="the group to receive, such as 239.1.2.3, ff15::1 or ff02::1%%eth0; "
        f"{_MANY}; 10.0.0.1@232.1.2.3 is what 10.0.0.1 sends to it (default: {' '.join(defaults)})",
    )
    parser.add_argument("--groups", type=group, nargs="+", metavar="GROUP", help="more groups to receive")
    parser.add_argument(
        "--iface",
        type=interface,
        help="the interface to join on: a name, an index or an address; 'all' is every one that is usable, "
        "now or later (default: the system's choice)",
    )
    senders = parser.add_mutually_exclusive_group()
    for option, meaning in (
        ("--source", "receive only what these send (source-specific multicast); may be repeated"),
        ("--exclude", "receive what anybody but these sends; may be repeated"),
    ):
        senders.add_argument(
            option, type=source, nargs="+", action="extend", default=[], metavar="ADDRESS", help=meaning
        )


def port(text: str) -> int:
    """Return the UDP port that ``text`` says."""
    return _whole_number(text, 1, 65535, "a UDP port")


def ttl(text: str) -> int:
    """Return the number of hops that ``text`` says."""
    return _whole_number(text, 0, 255, "a number of hops")


def group(text: str) -> str:
    """Return ``text`` if it can be a group, or several, with sources before it and an interface behind it."""
    endpoint = _endpoint(text)
    for one in endpoint.sources:
        source(one)
    return text


def destination(text: str) -> str:
    """Return ``text`` if it can be a group to send to, or several, with an interface behind it."""
    if _endpoint(text).sources:
        raise argparse.ArgumentTypeError(f"{text!r} names a source; a sender's source is this machine")
    return text


def _endpoint(text: str) -> endpoints.Endpoint:
    try:
        endpoint = endpoints.parse(text)
        groups = endpoints.expand(endpoint)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    if not all(_is_multicast(one.group) for one in (groups[0], groups[-1])):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8)"
        )
    if endpoint.port is not None:
        raise argparse.ArgumentTypeError(f"{text!r} names a port, which is for --port to say")
    if endpoint.interface is not None:
        interface(endpoint.interface)
    return endpoint


def source(text: str) -> str:
    """Return ``text`` if it can be the address of a sender."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 or IPv6 address") from problem
    if address.is_multicast or address.is_unspecified or address == _IPV4_BROADCAST:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be the source of a datagram")
    return text


def interface(text: str) -> str:
    """Return ``text`` if it can be an interface, or ``all``."""
    if text.isascii() and text.isdigit():
        _whole_number(text, 1, _HIGHEST_INDEX, "the index of an interface")
    elif _is_multicast(text):
        raise argparse.ArgumentTypeError(f"{text!r} is a group, not an address of an interface")
    elif not text or any(letter.isspace() or letter in "/\0" for letter in text):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be the name of an interface")
    return text


def one_interface(text: str) -> str:
    """Return ``text`` if it can be one interface."""
    if text == "all":
        raise argparse.ArgumentTypeError("'all' is for receiving; a message is sent by one interface")
    return interface(text)


def _is_multicast(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_multicast
    except ValueError:  # no address at all
        return False


def seconds(text: str) -> float:
    """Return the time that ``text`` says, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0")
    return value


def _whole_number(text: str, lowest: int, highest: int, what: str) -> int:
    # int() takes more than people write: spaces, underscores, digits of other scripts.
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}, {lowest}-{highest}")
    return int(text)
