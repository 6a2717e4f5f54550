"""Checks of endpoints that the commands share."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..endpoints import Endpoint


def one_group(endpoint: Endpoint) -> str:
    """Return the group of an endpoint in its usual spelling.

    Raises:
        ValueError: It is not one address of a group; ``239.1.2.0/24`` and ``239.1.2.3+10`` are several.
    """
    try:
        address = ipaddress.ip_address(endpoint.group)
    except ValueError:
        address = None
    if address is None or not address.is_multicast:
        raise ValueError(f"group must be one multicast address, got {endpoint.group!r}")
    return str(address)
