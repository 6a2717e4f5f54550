"""Arguments of the Receiver API, checked and turned into what the compiled core takes. No system call is made here."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, SupportsFloat, SupportsIndex, TypeVar, cast

from . import _core, endpoints
from .endpoints import ADDRESS_TYPES, Endpoint
from .types import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal, ParamSpec, TypeAlias

    from .endpoints import Address, Network

    P = ParamSpec("P")

    OneGroup: TypeAlias = str | Endpoint | tuple[str | Address, int] | Address
    Group: TypeAlias = OneGroup | Network | Iterable[OneGroup | Network]
    Sources: TypeAlias = str | Address | Iterable[str | Address]
    OneInterface: TypeAlias = str | int | Address | Interface | None
    Interfaces: TypeAlias = OneInterface | Sequence[str | int | Address | Interface]
    RingPolicy: TypeAlias = Literal["drop-oldest", "drop-newest", "block"]
    Engine: TypeAlias = Literal["socket", "packet", "auto"]
    Fanout: TypeAlias = SupportsIndex | tuple[SupportsIndex, Literal["flow", "round-robin"]]

    # As the core takes them: names, addresses and indexes.
    CoreInterface: TypeAlias = str | int | None
    CoreInterfaces: TypeAlias = CoreInterface | list[CoreInterface]

Result = TypeVar("Result")

AUTO_RECV_BUFFER = 8 * 1024 * 1024
"""Receive buffer that ``recv_buffer="auto"`` requests, in bytes. The kernel uses the memory only while datagrams wait.
With the kernel's bookkeeping it holds some 20,000 small datagrams."""

MAX_RING_CAPACITY = 1 << 24
"""The most datagrams that a ring may hold; their payloads may take 32 GiB. A larger number is most likely a mistake,
such as bytes instead of datagrams."""

RING_POLICIES: Final = ("drop-oldest", "drop-newest", "block")

ENGINES: Final = ("socket", "packet", "auto")
MAX_FANOUT: Final = 32_767

# The system takes the sizes of buffers as a C int.
_MAX_BUFFER = 2**31 - 1

# Keywords of other libraries, or of earlier versions, that are not similar to ours.
_OTHER_NAMES = {"device": "interface", "nic": "interface", "hops": "ttl", "max": "limit"}


def suggest_keywords(function: Callable[P, Result]) -> Callable[P, Result]:
    """Make the TypeError for a wrong keyword suggest the right one."""
    code = function.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(function)
    def wrapper(*args: P.args, **options: P.kwargs) -> Result:
        for option in options:
            if option not in names:
                raise TypeError(_unknown_keyword(function.__qualname__, option, names))
        return function(*args, **options)

    return wrapper


def _unknown_keyword(function: str, option: str, names: tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415 - loads regular expressions, for an error only

    caller = function.removesuffix(".__init__")
    message = f"{caller}() has no argument {option!r}"
    if option == "ttl" and "receive_ttl" in names:
        return f"{message}; did you mean 'receive_ttl'? A receiver has no TTL of its own"
    if option in ("fd", "sock"):
        return f"{message}; to receive on an open socket, use Receiver.adopt(sock, ...)"
    similar = [name for name in [_OTHER_NAMES.get(option)] if name in names]
    similar += difflib.get_close_matches(option, names, n=1)
    return f"{message}; did you mean {similar[0]!r}?" if similar else message


def core_groups(
    group: Group, port: SupportsIndex | None, interface: Interfaces, source: Sources, exclude: Sources
) -> tuple[list[_core._Group], int | None]:
    """Return the groups as the core takes them, and the port that they share; None if nothing names it."""
    number = None if port is None else udp_port(port)
    parsed = _endpoint_list(group)
    for endpoint in parsed:
        number = one_port(number, endpoint.port)
    if number is not None:
        # The port may be that of an endpoint that was not parsed from text.
        udp_port(number)
    where = interfaces(interface)
    only, without = addresses("source", source), addresses("exclude", exclude)
    groups: list[_core._Group] = []
    for endpoint in endpoints.merge(parsed):
        on: CoreInterfaces = where if endpoint.interface is None else endpoint.interface
        sources, on = _without_zones([*endpoint.sources, *only], on)
        excluded, on = _without_zones(without, on)
        groups += [(one.group, on, sources, excluded) for one in endpoints.expand(endpoint)]
    return groups, number


def destination(
    group: OneGroup, port: SupportsIndex | None, interface: OneInterface
) -> tuple[Endpoint, CoreInterface]:
    """Return the destination of a sender, with the port if anything names it, and the interface to send from."""
    endpoint = endpoints.from_argument(group)
    if endpoint.sources:
        raise ValueError(f"{str(endpoint)!r} names a source; the source of a sender is this machine")
    if "+" in endpoint.group or "/" in endpoint.group:
        raise ValueError(f"{endpoint.group!r} stands for several groups; a sender sends to one")
    on = one_interface(interface if endpoint.interface is None else endpoint.interface)
    if on == "all":
        raise ValueError("interface must be one interface to send by, got 'all'; open one sender for each")
    number = one_port(None if port is None else udp_port(port), endpoint.port)
    if number is not None:
        udp_port(number, lowest=1)
    return replace(endpoint, port=number), on


def _endpoint_list(group: object) -> list[Endpoint]:
    if endpoints.is_one(group):
        return [endpoints.from_argument(group)]
    # Bytes would iterate as numbers.
    if isinstance(group, (bytes, bytearray)) or not isinstance(group, Iterable):
        raise TypeError(f"group must be an endpoint or several of them, got {type(group).__name__}")
    return [endpoints.from_argument(one) for one in cast("Iterable[object]", group)]


def addresses(name: str, given: object) -> list[str]:
    """Return one or several addresses as text."""
    several: Iterable[object]
    if isinstance(given, (str, *ADDRESS_TYPES)):
        several = [given]
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        several = cast("Iterable[object]", given)
    else:
        raise TypeError(f"{name} must be an address or several of them, got {type(given).__name__}")
    return [_address(name, one) for one in several]


def _address(name: str, given: object) -> str:
    if not isinstance(given, (str, *ADDRESS_TYPES)):
        raise TypeError(f"{name} must be an address (str or ipaddress object), got {type(given).__name__}")
    return str(given)


def _without_zones(sources: list[str], on: CoreInterfaces) -> tuple[list[str], CoreInterfaces]:
    """Return the sources without zones, and the interface to join on, which a zone may be the first to name.

    The kernel takes the interface once, with the group. A zone of a source can only name the same interface.
    """
    plain: list[str] = []
    for source in sources:
        address, _, zone = source.partition("%")
        plain.append(address)
        if not zone:
            continue
        if on is None:
            on = zone
        elif on != zone and interface_indexes(on).isdisjoint(interface_indexes(zone)):
            raise ValueError(
                f"source {source} is on another interface than its group, which is joined on {on}"
            )
    return plain, on


def sources_to_leave(endpoint: Endpoint, source: Sources) -> list[str]:
    """Return the sources of an endpoint and of an argument, without zones: they are left where the group is."""
    return [text.partition("%")[0] for text in [*endpoint.sources, *addresses("source", source)]]


def interface_indexes(interface: CoreInterfaces) -> set[int]:
    """Return the indexes of the interfaces that an argument means at the moment."""
    if isinstance(interface, list):
        return {index for one in interface for index in interface_indexes(one)}
    if interface is None or interface == "all":
        return {here.index for here in list_interfaces()}
    index = _core._interface_index(interface)
    return set() if index is None else {index}


def list_interfaces() -> list[Interface]:
    """Return the interfaces of this machine, by index."""
    return [Interface(**fields) for fields in _core._interfaces()]


def interfaces(given: Interfaces) -> CoreInterfaces:
    """Return the interfaces to join on, as the core takes them."""
    if isinstance(given, (list, tuple)):
        return [one_interface(one) for one in given]
    return one_interface(given)


def one_interface(given: object) -> CoreInterface:
    """Return an interface as the core takes it."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Interface):
        # By name, so that an interface that is created again under the same name is found.
        return given.name
    if isinstance(given, ADDRESS_TYPES):
        address, _, zone = str(given).partition("%")
        return zone or address
    if isinstance(given, SupportsIndex) and not isinstance(given, bool):
        return operator.index(given)
    raise TypeError(
        "interface must be a name or address (str), an index (int), an ipaddress object, an Interface or None, "
        f"got {type(given).__name__}"
    )


def one_port(given: int | None, named: int | None) -> int | None:
    """Return the port of an argument and of an endpoint, which must not differ."""
    if given is not None and named is not None and given != named:
        raise ValueError(f"the port is given twice, as {given} and as {named}")
    return named if given is None else given


def udp_port(given: SupportsIndex, lowest: int = 0) -> int:
    """Return a UDP port."""
    return whole_number("port", given, lowest, 65535)


def missing_port(group: object) -> ValueError:
    """Return the error for a call that names no port."""
    example = "239.1.2.3:5000"
    for endpoint in _endpoint_list(group):
        address, colon, digits = endpoint.group.rpartition(":")
        label, label_colon, label_digits = (endpoint.interface or "").rpartition(":")
        if colon and digits.isdigit():
            # Parsed as a part of an IPv6 address, which it may be.
            example = f"[{address}]:{digits}"
        elif label_colon and label_digits.isdigit():
            # Parsed as a part of an interface label, which it may be.
            example = f"{endpoint.group}:{label_digits}%{label}"
    return ValueError(f"no port is given: pass port=, or write it after the group, as in {example!r}")


def bind_address(given: str | Address | None) -> str | None:
    """Return the address to bind to."""
    return None if given is None else _address("bind", given)


def local_address(
    given: tuple[str | Address | None, SupportsIndex] | None, on: CoreInterface
) -> tuple[tuple[str | None, int] | None, CoreInterface]:
    """Return the address and port to send from, and the interface, which the zone of an IPv6 address can name."""
    if given is None:
        return None, on
    if not isinstance(cast("object", given), tuple) or len(given) != 2:
        raise TypeError(f"local must be an (address, port) tuple or None, got {given!r}")
    address, port = given
    number = whole_number("the port of local", port, 0, 65535)
    if address is None or address == "":
        return (None, number), on
    plain, _, zone = _address("local", address).partition("%")
    return (plain, number), zone if zone and on is None else on


def flag(name: str, given: bool) -> bool:
    """Return a flag, which must be a real bool: ``loopback="no"`` would be true."""
    if not isinstance(given, bool):
        raise TypeError(f"{name} must be True or False, got {type(given).__name__}")
    return given


def timeout(given: float | None) -> float | None:
    """Return a timeout in seconds."""
    number = seconds("timeout", given)
    if number is not None and not number >= 0:
        raise ValueError(f"timeout must be a number of seconds from 0, got {given}")
    return number


def seconds(name: str, given: float | None) -> float | None:
    """Return a number of seconds or of datagrams, which the core checks further."""
    return None if given is None else number(name, given, "a number or None")


def number(name: str, given: float, rule: str = "a number") -> float:
    """Return a number, which the core checks further."""
    if isinstance(given, (bool, str)) or not isinstance(given, (SupportsFloat, SupportsIndex)):
        raise TypeError(f"{name} must be {rule}, got {type(given).__name__}")
    try:
        return float(given)
    except OverflowError:
        raise ValueError(f"{name} must be a number that fits a float, got a larger one") from None


def ring_capacity(given: SupportsIndex | None) -> int | None:
    """Return how many datagrams a ring may hold."""
    return None if given is None else whole_number("ring", given, 1, MAX_RING_CAPACITY)


def ring_policy(given: str) -> RingPolicy:
    """Return what happens when a ring is full."""
    for policy in RING_POLICIES:
        if given == policy:
            return policy
    raise ValueError(f"ring_policy must be 'drop-oldest', 'drop-newest' or 'block', got {given!r}")


def engine(given: str) -> Engine:
    """Return how datagrams get from the kernel to a receiver."""
    for name in ENGINES:
        if given == name:
            return name
    raise ValueError(f"engine must be 'socket', 'packet' or 'auto', got {given!r}")


def fanout(given: Fanout | None) -> tuple[int, bool] | None:
    """Return the number that the receivers of a fanout have in common, and whether they take turns."""
    if given is None:
        return None
    number, way = given if isinstance(given, tuple) and len(given) == 2 else (given, "flow")
    if isinstance(number, tuple) or way not in ("flow", "round-robin"):
        raise ValueError(f"fanout must be a number, or a number with 'flow' or 'round-robin', got {given!r}")
    return whole_number("fanout", number, 0, MAX_FANOUT), way == "round-robin"


def recv_buffer(given: SupportsIndex | Literal["auto"] | None) -> int | None:
    """Return how large a receive buffer to request, in bytes."""
    if isinstance(given, str):
        if given != "auto":
            raise ValueError(f"recv_buffer must be a number of bytes, 'auto' or None, got {given!r}")
        return AUTO_RECV_BUFFER
    return buffer("recv_buffer", given)


def buffer(name: str, given: SupportsIndex | None) -> int | None:
    """Return how large a buffer to request, in bytes."""
    return None if given is None else whole_number(name, given, 1, _MAX_BUFFER)


def whole_number(name: str, given: SupportsIndex, lowest: int, highest: int) -> int:
    """Return an integer in a range; NumPy's integers count, bool does not."""
    if isinstance(given, bool) or not isinstance(given, SupportsIndex):
        raise TypeError(f"{name} must be an integer from {lowest} to {highest}, got {type(given).__name__}")
    number = operator.index(given)
    if not lowest <= number <= highest:
        raise ValueError(f"{name} must be an integer from {lowest} to {highest}, got {number}")
    return number


def descriptor(given: object) -> int:
    """Return the descriptor of a socket object, or the descriptor itself."""
    fileno = getattr(given, "fileno", None)
    if callable(fileno):
        # That of a closed socket is -1, which the system refuses.
        given = fileno()
    elif isinstance(given, int) and not isinstance(given, bool):
        whole_number("sock", given, -1, 2**63 - 1)
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"sock must be a socket or its descriptor (int), got {type(given).__name__}")
    return given
