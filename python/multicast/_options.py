"""Options that several tools share, and what each kind of value must be. For ``argparse`` alone.

A value is checked here so far as its text tells; whether an interface or a route exists is for the system to say.
"""

import argparse
import math

from ._defaults import _MCAST_DEFAULT_PORT
from ._targets import is_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


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


def add_groups(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add ``--group`` and ``--groups``."""
    parser.add_argument("--group", type=group, help=f"the group to {verb}, such as 239.1.2.3")
    parser.add_argument("--groups", type=group, nargs="+", metavar="GROUP", help=f"more groups to {verb}")


def add_interface(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add ``--iface``."""
    parser.add_argument(
        "--iface",
        help=f"the interface to {verb}: a name, an index or an address (default: the system's choice)",
    )


def port(text: str) -> int:
    """Return the UDP port that ``text`` says."""
    return _whole_number(text, 1, 65535, "a UDP port")


def ttl(text: str) -> int:
    """Return the number of hops that ``text`` says."""
    return _whole_number(text, 0, 255, "a number of hops")


def group(text: str) -> str:
    """Return ``text`` if it can be a group."""
    if not is_group(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a multicast address (224.0.0.0 to 239.255.255.255, or ff00::/8)"
        )
    return text


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
