"""The subject of a diagnosis: an endpoint, and the interface that it means now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ... import _core
from ...endpoints import is_link_scope
from ..groups import one_group
from ..links import links
from ..routes import interface_for

if TYPE_CHECKING:
    from ...endpoints import Endpoint
    from ..links import Link


@dataclass(frozen=True, slots=True)
class Case:
    """An endpoint under diagnosis."""

    endpoint: Endpoint
    port: int
    links: tuple[Link, ...]
    """The interfaces of this machine."""
    link: Link | None
    """The interface that the endpoint names or the routes choose; None if there is none."""

    @property
    def is_ipv6(self) -> bool:
        """Whether the group is an IPv6 group."""
        return ":" in self.endpoint.group

    @property
    def is_link_scope(self) -> bool:
        """Whether no router forwards the group."""
        return is_link_scope(self.endpoint.group)

    @property
    def interface(self) -> str:
        """The name of the interface; empty if there is none."""
        return "" if self.link is None else self.link.name

    def listen_command(self, **changes: object) -> str:
        """Return the command that listens to the endpoint with some parts changed."""
        return f"multicast listen {replace(self.endpoint, **changes)}"  # type: ignore[arg-type]


def case_for(endpoint: Endpoint) -> Case:
    """Look up what ``endpoint`` means on this machine now.

    Args:
        endpoint: one group with a port.

    Raises:
        ValueError: The endpoint has no port, or its group is not one address of a group.
        OSError: The system cannot list its interfaces or look up routes.
    """
    port = endpoint.port
    if port is None:
        raise ValueError(f"endpoint must have a port, such as {endpoint.group}:5000, got {endpoint}")
    endpoint = replace(endpoint, group=one_group(endpoint))
    here = tuple(links())
    return Case(endpoint, port, here, _link_for(endpoint, here))


def _link_for(endpoint: Endpoint, here: tuple[Link, ...]) -> Link | None:
    name = endpoint.interface
    if name is None:
        index = interface_for(endpoint.group)
        return next((one for one in here if one.index == index), None)
    # Every name that a receiver accepts: alternative names and labels as well.
    index = _core._interface_index(name)
    found = next((one for one in here if one.index == index), None)
    if found is None:
        raise ValueError(f"interface must be one of {', '.join(one.name for one in here)}, got {name!r}")
    return found
