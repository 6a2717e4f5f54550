"""The firewall rules that drop a datagram, as ``nft`` or ``iptables`` lists them (Linux, with the rights to do so)."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Rule = Mapping[str, Any]
    # Of a chain, a set or a map: the family, the table and the name.
    Key = tuple[str, str, str]
    Value = str | int | tuple[str | int, ...]

_PATIENCE = 10.0
INPUT = ("ingress", "prerouting", "input")
"""The hooks that an incoming datagram passes, in this order."""
OUTPUT = ("output", "postrouting", "egress")
"""The hooks that an outgoing datagram passes, in this order."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The parts of a datagram that rules compare."""

    source: str | None
    group: str
    port: int
    interface: str


@dataclass(frozen=True, slots=True)
class Blocker:
    """A chain that drops the datagram."""

    table: str
    """The family and name of its table."""
    chain: str
    reason: str
    """The rule that drops it, as ``nft`` lists it, or the policy of the chain."""
    fix: str
    """A command that lets the datagram pass this chain."""


def blockers(packet: Packet, hooks: Sequence[str]) -> list[Blocker]:
    """Return the chains at ``hooks`` that drop ``packet``; empty if there is none or the rules cannot be listed."""
    found = list(_nft_blockers(packet, hooks))
    return found or _iptables_blockers(packet, hooks)


def _nft_blockers(packet: Packet, hooks: Sequence[str]) -> Iterable[Blocker]:
    listing = _run("nft", "--json", "list", "ruleset")
    if not listing:
        return
    items: list[dict[str, Any]] = json.loads(listing)["nftables"]
    ruleset = _Ruleset(items)
    families = {"inet", "netdev", "ip6" if ":" in packet.group else "ip"}
    for item in items:
        chain = item.get("chain", {})
        if chain.get("hook") not in hooks or chain["family"] not in families:
            continue
        if chain.get("dev", packet.interface) != packet.interface:
            continue
        key = (chain["family"], chain["table"], chain["name"])
        verdict, where, rule = ruleset.walk(key, packet)
        if verdict == "drop" and rule is not None:
            yield _blocker(where, f"rule {rule['handle']}", packet)
        elif verdict is None and chain.get("policy") == "drop":
            yield _blocker(key, "policy drop", packet)


def _blocker(key: Key, reason: str, packet: Packet) -> Blocker:
    family, table, chain = key
    match = f"{'ip6' if ':' in packet.group else 'ip'} daddr {packet.group} udp dport {packet.port}"
    return Blocker(
        f"{family} {table}", chain, reason, f"nft insert rule {family} {table} {chain} {match} accept"
    )


class _Ruleset:
    """The rules of ``nft``, by chain, and the elements of its named sets and maps."""

    def __init__(self, items: Iterable[Mapping[str, Any]]) -> None:
        self._rules: dict[Key, list[Rule]] = {}
        self._elements: dict[Key, list[Any]] = {}
        for item in items:
            if "rule" in item:
                rule = item["rule"]
                self._rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule)
            named = item.get("set") or item.get("map")
            if named:
                self._elements[named["family"], named["table"], named["name"]] = named.get("elem", [])

    def walk(self, key: Key, packet: Packet) -> tuple[str | None, Key, Rule | None]:
        """Return the verdict of a chain, "accept" or "drop" or None, with the chain and the rule that gives it."""
        for rule in self._rules.get(key, ()):
            if not all(self._holds(key, part, packet) for part in rule["expr"]):
                continue
            for part in rule["expr"]:
                statement = self._looked_up(key, part["vmap"], packet) if "vmap" in part else part
                if (
                    "drop" in statement
                    or "reject" in statement
                    or _is_extension(statement, "target", "REJECT")
                ):
                    return "drop", key, rule
                if "accept" in statement:
                    return "accept", key, rule
                if "return" in statement:
                    return None, key, None
                target = statement.get("jump") or statement.get("goto")
                if target:
                    outcome = self.walk((key[0], key[1], target["target"]), packet)
                    if outcome[0] is not None or "goto" in statement:
                        return outcome
        return None, key, None

    def _looked_up(self, key: Key, vmap: Mapping[str, Any], packet: Packet) -> Mapping[str, Any]:
        """Return the statement that a verdict map gives for the datagram; an empty one if there is none."""
        actual, data = _value(vmap["key"], packet), vmap["data"]
        if actual is None:
            return {}
        entries = cast(
            "list[tuple[Any, Rule]]", self._named(key, data) if isinstance(data, str) else data["set"]
        )
        for value, statement in entries:
            if self._is_among(key, actual, value):
                return statement
        return {}

    def _holds(self, key: Key, part: Mapping[str, Any], packet: Packet) -> bool:
        """Return whether a part of a rule lets the datagram go on to the next part.

        A match by an extension of ``iptables`` counts as false: the listing does not show its values.
        """
        if "match" in part:
            return self._matches(key, part["match"], packet)
        return not _is_extension(part, "match")

    def _matches(self, key: Key, match: Mapping[str, Any], packet: Packet) -> bool:
        """Return whether a comparison of a rule holds. One that cannot be judged here counts as false."""
        actual = _value(match["left"], packet)
        if actual is None:
            return False
        is_among = self._is_among(key, actual, match["right"])
        return not is_among if match["op"] == "!=" else is_among

    def _named(self, key: Key, reference: str) -> list[Any]:
        """Return the elements of a set or a map of the same table, such as ``@name``."""
        return self._elements.get((key[0], key[1], reference.removeprefix("@")), [])

    def _is_among(self, key: Key, actual: Value, right: Any) -> bool:
        """Return whether a value is the right side of a comparison, or in it if that is a set."""
        return any(_is(actual, one) for one in self._alternatives(key, right))

    def _alternatives(self, key: Key, right: Any) -> Iterator[Any]:
        """Yield the elements of a set, named or not, or the right side of a comparison itself."""
        sides = cast("dict[str, Any]", right) if isinstance(right, dict) else {}
        if isinstance(right, str) and right.startswith("@"):
            several = self._named(key, right)
        elif "set" in sides:
            several = sides["set"]
        elif "elem" in sides:
            several = [sides["elem"]["val"]]
        else:
            yield right
            return
        for one in several:
            yield from self._alternatives(key, one)


def _is_extension(part: Mapping[str, Any], kind: str, *names: str) -> bool:
    """Return whether a part of a rule is an extension of ``iptables``: a match, or a target with one of these names."""
    extension = part.get("xt", {})
    return extension.get("type") == kind and (not names or extension.get("name") in names)


def _is(actual: Value, right: Any) -> bool:
    """Return whether a value is ``right``: a value, a range, a prefix, or several of them joined."""
    if not isinstance(right, dict):
        return bool(actual == right or str(actual) == str(right))
    sides = cast("dict[str, Any]", right)
    if isinstance(actual, tuple):
        return "concat" in sides and all(map(_is, actual, sides["concat"]))
    if "range" in sides:
        low, high = sides["range"]
        if isinstance(actual, int):
            return bool(low <= actual <= high)
        return _number(low) <= _number(actual) <= _number(high)
    if "prefix" in sides:
        network = f"{sides['prefix']['addr']}/{sides['prefix']['len']}"
        return ipaddress.ip_address(actual) in ipaddress.ip_network(network, strict=False)
    return False


def _value(left: Any, packet: Packet) -> Value | None:
    """Return the value of the packet that a rule compares, several if it joins them; None if one is not known here."""
    if "concat" not in left:
        return _field(left, packet)
    fields = tuple(_field(one, packet) for one in left["concat"])
    return None if None in fields else cast("Value", fields)


def _field(left: Any, packet: Packet) -> str | int | None:
    """Return the value of the packet that a rule compares; None if it is not known here."""
    payload, meta = left.get("payload", {}), left.get("meta", {})
    known: dict[tuple[str, str], str | int | None] = {
        ("ip", "daddr"): packet.group,
        ("ip6", "daddr"): packet.group,
        ("ip", "saddr"): packet.source,
        ("ip6", "saddr"): packet.source,
        ("ip", "protocol"): "udp",
        ("ip6", "nexthdr"): "udp",
        ("udp", "dport"): packet.port,
        ("th", "dport"): packet.port,
    }
    names: dict[str | None, str | int] = {
        "l4proto": "udp",
        "iifname": packet.interface,
        "oifname": packet.interface,
        "pkttype": "multicast",
        "nfproto": "ipv6" if ":" in packet.group else "ipv4",
    }
    if payload:
        return known.get((payload.get("protocol", ""), payload.get("field", "")))
    key = meta.get("key")
    # A rule compares the name of an interface or its index, and the listing has the name in both cases.
    return names.get(key, names.get(f"{key}name"))


def _number(address: str | int) -> int:
    return int(ipaddress.ip_address(address))


def _iptables_blockers(packet: Packet, hooks: Sequence[str]) -> list[Blocker]:
    """Return the built-in chains of ``iptables`` that drop the datagram by their policy or by a plain rule."""
    program = "ip6tables" if ":" in packet.group else "iptables"
    chain = "INPUT" if "input" in hooks else "OUTPUT"
    for line in _run(program, "--list-rules", chain).splitlines():
        words = line.split()
        is_plain = words[:2] == ["-A", chain] and "udp" in words and words[-1] == "DROP"
        if line == f"-P {chain} DROP" or (is_plain and str(packet.port) in words):
            fix = f"{program} -I {chain} -p udp -d {packet.group} --dport {packet.port} -j ACCEPT"
            return [Blocker(program, chain, line, fix)]
    return []


def _run(program: str, *words: str) -> str:
    """Return what a program prints; empty if it is not installed, lacks rights, or does not end in time."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout if done.returncode == 0 else ""
