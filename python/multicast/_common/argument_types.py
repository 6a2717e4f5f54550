"""What each kind of value on a command line must be. For ``argparse`` alone.

A value is checked as far as its text allows. Whether an interface or a route exists is left to the system.
"""

from __future__ import annotations

import argparse
import ipaddress
import math

from .. import endpoints

_IPV4_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
# Interface indexes are C ints above zero.
_HIGHEST_INDEX = 2**31 - 1


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
        endpoint = endpoints.Endpoint.parse(text)
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
