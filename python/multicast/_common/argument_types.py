"""Checks of command-line values, as ``type=`` functions for ``argparse``.

A value is checked as far as its text allows. The system decides whether an interface or a route exists.

The help of a command loads this module, so it imports ``endpoints`` and ``ipaddress`` only when there is a value.
"""

from __future__ import annotations

import argparse
import math
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .. import endpoints

# Interface indexes are C ints above zero.
_HIGHEST_INDEX = 2**31 - 1
_MAX_COUNT = 10**9
_FACTORS = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
# The system takes the sizes of buffers as a C int.
_MAX_BUFFER = 2**31 - 1
_GROUP_RULE = "must be a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8)"


def port(text: str) -> int:
    """Return ``text`` as a UDP port, 1-65535."""
    return _whole_number(text, 1, 65535, "a UDP port")


def ttl(text: str) -> int:
    """Return ``text`` as a number of hops, 0-255."""
    return _whole_number(text, 0, 255, "a number of hops")


def seconds(text: str) -> float:
    """Return ``text`` as a finite number of seconds, 0 or more."""
    return _number(text, 0, sys.float_info.max, "a number of seconds, 0 or more")


def count(text: str) -> int:
    """Return ``text`` as a number of datagrams, 1 or more."""
    return _whole_number(text, 1, _MAX_COUNT, "a number of datagrams")


def percent(text: str) -> float:
    """Return ``text`` as a percentage, 0 to 100."""
    return _number(text, 0, 100, "a percentage from 0 to 100")


def milliseconds(text: str) -> float:
    """Return ``text`` as a finite number of milliseconds, 0 or more."""
    return _number(text, 0, sys.float_info.max, "a number of milliseconds, 0 or more")


def interval(text: str) -> float:
    """Return ``text`` as the time between two tables, in seconds."""
    return _number(text, 0.1, 86400, "a number of seconds from 0.1 to 86400")


def rate(text: str) -> float:
    """Return ``text`` as a rate above 0, with an optional factor k, M or G."""
    factor = _FACTORS.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    return factor * _number(
        digits, sys.float_info.min, 1e12, "a number above 0, such as 1000, 1k or 2.5M", given=text
    )


def size(text: str) -> int:
    """Return ``text`` as the size of a datagram, 1-65507 bytes."""
    return _whole_number(text, 1, 65507, "a number of bytes")


def buffer(text: str) -> int:
    """Return ``text`` as the size of a buffer in bytes."""
    return _whole_number(text, 1, _MAX_BUFFER, "a number of bytes")


def file_size(text: str) -> int:
    """Return ``text`` as a number of bytes, 1 or more, with an optional suffix k, M or G (powers of 1,000)."""
    factor = _FACTORS.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 15 and int(digits) > 0
    if not is_number:
        raise argparse.ArgumentTypeError(
            f"must be a number of bytes, 1 or more, such as 1000000 or 1M, got {text!r:.40}"
        )
    return int(digits) * factor


def input_file(text: str) -> str:
    """Return ``text`` as the name of a file to read."""
    if not text:
        raise argparse.ArgumentTypeError(f"must be the name of a file, got {text!r}")
    return text


def output_file(text: str) -> str:
    """Return ``text`` as the name of a file to write."""
    if text in {"", "-"}:
        raise argparse.ArgumentTypeError(
            f"must be the name of a file, got {text!r} (for a pipe: /dev/stdout)"
        )
    return text


def factor(text: str) -> float:
    """Return ``text`` as a finite number above 0."""
    return _number(text, sys.float_info.min, sys.float_info.max, "a number above 0")


def loops(text: str) -> int:
    """Return ``text`` as a number of repetitions, 0 or more."""
    return _whole_number(text, 0, _MAX_COUNT, "a number of repetitions")


def mapping(text: str) -> tuple[str, str]:
    """Return the two sides of ``text``, which have an equals sign in between."""
    before, equals, after = text.partition("=")
    if not (before and equals and after):
        raise argparse.ArgumentTypeError(f"must be FROM=TO, got {text!r}")
    return before, after


def endpoint(text: str) -> endpoints.Endpoint:
    """Return ``text`` as an endpoint whose group is multicast, or a range of groups."""
    parsed = _parsed(_unquoted(text))
    if parsed.port == 0:
        raise argparse.ArgumentTypeError(f"must have a UDP port from 1 to 65535, got {text!r}")
    for one in parsed.sources:
        source(one)
    return parsed


def one_endpoint(text: str) -> endpoints.Endpoint:
    """Return ``text`` as an endpoint to send to: one group, without a source."""
    parsed = endpoint(text)
    if parsed.sources:
        raise argparse.ArgumentTypeError(f"must not name a source (this machine is the source), got {text!r}")
    if "+" in parsed.group or "/" in parsed.group:
        raise argparse.ArgumentTypeError(f"must be one group, got {text!r}")
    if parsed.interface is not None:
        one_interface(parsed.interface)
    return parsed


def local(text: str) -> tuple[str, int]:
    """Return ``text`` as an address of this machine, which may be empty, and a UDP port, 0 if there is none."""
    import ipaddress  # noqa: PLC0415 - see the top of the file

    from .. import endpoints  # noqa: PLC0415 - see the top of the file

    text = _unquoted(text)
    if text.startswith(":"):
        return "", port(text[1:])
    try:
        parsed = endpoints.Endpoint.parse(text)
        zone = "" if parsed.interface is None else f"%{parsed.interface}"
        address = ipaddress.ip_address(parsed.group + zone)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be ADDRESS, ADDRESS:PORT or :PORT, such as 10.0.0.1:5000, got {text!r}"
        ) from error
    if address.is_multicast or parsed.sources:
        raise argparse.ArgumentTypeError(f"must be an address of this machine, got {text!r}")
    return str(address), parsed.port or 0


def dscp(text: str) -> int:
    """Return ``text`` as a class of traffic (DSCP), 0-63."""
    return _whole_number(text, 0, 63, "a number")


def group(text: str) -> str:
    """Return ``text`` if it is a group or a range of groups, with optional sources and an optional interface."""
    text = _unquoted(text)
    endpoint = _endpoint(text)
    for one in endpoint.sources:
        source(one)
    return text


def destination(text: str) -> str:
    """Return ``text`` if it is a group or a range of groups to send to, with an optional interface."""
    text = _unquoted(text)
    if _endpoint(text).sources:
        raise argparse.ArgumentTypeError(f"must not name a source (this machine is the source), got {text!r}")
    return text


def source(text: str) -> str:
    """Return ``text`` if it is an address that a datagram can come from."""
    import ipaddress  # noqa: PLC0415 - see the top of the file

    text = _unquoted(text)
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be an IPv4 or IPv6 address, got {text!r}") from error
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise argparse.ArgumentTypeError(f"must be the address of one host, got {text!r}")
    return text


def interface(text: str) -> str:
    """Return ``text`` if it can be the name, index or address of an interface, or is ``all``."""
    text = _unquoted(text)
    if text.isascii() and text.isdigit():
        _whole_number(text, 1, _HIGHEST_INDEX, "the index of an interface")
    elif _is_multicast(text):
        raise argparse.ArgumentTypeError(f"must be an interface, not a group, got {text!r}")
    elif not text or any(letter.isspace() or letter in "/\0" for letter in text):
        raise argparse.ArgumentTypeError(f"must be the name, index or address of an interface, got {text!r}")
    return text


def one_interface(text: str) -> str:
    """Return ``text`` if it can be one interface."""
    text = interface(text)
    if text == "all":
        raise argparse.ArgumentTypeError("must be one interface ('all' is for receiving only), got 'all'")
    return text


def _endpoint(text: str) -> endpoints.Endpoint:
    endpoint = _parsed(text)
    if endpoint.port is not None:
        raise argparse.ArgumentTypeError(f"must not contain a port (use --port), got {text!r}")
    return endpoint


def _parsed(text: str) -> endpoints.Endpoint:
    from .. import endpoints  # noqa: PLC0415 - see the top of the file

    try:
        endpoint = endpoints.Endpoint.parse(text)
        groups = endpoints.expand(endpoint)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not all(_is_multicast(one.group) for one in (groups[0], groups[-1])):
        raise argparse.ArgumentTypeError(f"{_GROUP_RULE}, got {text!r}")
    if endpoint.interface is not None:
        interface(endpoint.interface)
    return endpoint


def _unquoted(text: str) -> str:
    """Return ``text`` without a pair of matching quotes around it.

    Shells that do not know single quotes, such as that of Windows, pass them on.
    """
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _is_multicast(text: str) -> bool:
    import ipaddress  # noqa: PLC0415 - see the top of the file

    try:
        return ipaddress.ip_address(text).is_multicast
    except ValueError:
        return False


def _number(text: str, lowest: float, highest: float, meaning: str, given: str | None = None) -> float:
    """Return ``text`` as a number. An error shows ``given`` instead, if that is more than the number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"must be {meaning}, got {given or text!r}")
    return value


def _whole_number(text: str, lowest: int, highest: int, meaning: str) -> int:
    # int() accepts more than people write: spaces, underscores, digits of other scripts. Beyond thousands of digits it
    # raises an error of its own.
    is_number = text.isascii() and text.isdigit() and len(text) <= 10
    if not (is_number and lowest <= int(text) <= highest):
        raise argparse.ArgumentTypeError(f"must be {meaning} from {lowest} to {highest}, got {text!r:.40}")
    return int(text)
