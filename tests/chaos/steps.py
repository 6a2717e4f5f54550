"""Steps of a run, and how chance chooses them. Everything follows from the seed and the state of the model."""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import consumers, network
from tests.chaos.model import ADDRESS, ALL, NAME, ROUTE, Ledger, Membership, Model

SOURCES = {4: ["10.66.200.7", "10.66.200.8"], 6: ["fd66:200::7", "fd66:200::8"]}
MAX_GROUPS = 40
MAX_RECEIVERS = 3
FORKED_CALLS = ["stats", "poll", "close", "nothing"]


@dataclass(frozen=True)
class Step:
    """An action of the driver with its arguments."""

    action: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"{self.action}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


def step(action: str, **arguments: Any) -> Step:
    return Step(action, arguments)


def read(path: Path) -> list[Step]:
    """Read steps that `write` wrote."""
    return [Step(action, arguments) for action, arguments in json.loads(path.read_text(encoding="utf-8"))]


def write(path: Path, steps: list[Step]) -> None:
    path.write_text(
        "[\n" + ",\n".join(json.dumps([one.action, one.arguments]) for one in steps) + "\n]\n",
        encoding="utf-8",
    )


def version(group: str) -> int:
    return 6 if ":" in group else 4


def accepted_source(membership: Membership) -> str:
    """Return a source that the membership accepts."""
    return next(source for source in SOURCES[version(membership.group)] if membership.accepts(source))


def unheard_source(membership: Membership) -> str | None:
    """Return a source that the membership accepts and has not heard since its interface was last disturbed."""
    accepted = filter(membership.accepts, SOURCES[version(membership.group)])
    return next((source for source in accepted if source not in membership.heard), None)


class Chooser:
    """Chooses the steps of one run."""

    def __init__(
        self,
        seed: int,
        kinds: list[str] | None = None,
        versions: list[int] | None = None,
        without: list[str] | None = None,
        engine: str = "socket",
    ) -> None:
        self.dice = random.Random(seed)
        self.kinds = kinds or list(consumers.KINDS)
        # A forked process cannot use an inherited packet ring.
        self.without = [*(without or []), *(["fork"] if engine == "packet" else [])]
        self.engine = engine
        self.interfaces = self.dice.randint(1, 3)
        self.receivers = self.dice.randint(1, MAX_RECEIVERS)
        self.most_groups = self.dice.choice([1, 5, MAX_GROUPS, MAX_GROUPS])
        chosen = self.dice.choice([[4], [6], [4, 6], [4, 6]])
        self.versions = versions or chosen
        self.names = itertools.count()
        self.groups = itertools.count(1)

    def steps(self, model: Model, length: int) -> Iterator[Step]:
        """Yield the steps of a run. Each is chosen from the state of the model after the one before."""
        kinds = [kind for kind in network.KINDS if kind != "tun" or network.TUN.exists()]
        for number in range(self.interfaces):
            yield step("add", interface=f"c{number}", kind=self.dice.choice(kinds))
        for _ in range(self.receivers):
            yield self.open(model)
        for _ in range(length):
            yield from (one for one in self.next(model) if one.action not in self.without)
        yield step("restore")
        yield step("settle")
        yield from self.send_to_all(model, 3)

    def next(self, model: Model) -> list[Step]:
        """Choose what to do next: a change and, more often than not, what it must not disturb."""
        dice = self.dice
        choices: list[tuple[int, Callable[[Model], list[Step]]]] = [
            (6, self.traffic),
            (3, self.unwanted),
            (4, self.membership_change),
            (6, self.fault),
            (2, self.noise),
            (1, self.process),
            (1, self.receiver_change),
        ]
        weights, functions = zip(*choices, strict=True)
        steps: list[Step] = dice.choices(functions, weights)[0](model)
        if dice.random() < 0.7:
            steps.append(step("settle"))
        return steps

    # Memberships

    def new_group(self, ip: int, *, specific: bool) -> str:
        number = next(self.groups)
        if ip == 4:
            return f"{232 if specific else 239}.66.{number // 250}.{number % 250 + 1}"
        return f"{'ff35' if specific else 'ff15'}::66:{number:x}"

    def new_membership(self, model: Model, ledger: Ledger | None) -> dict[str, Any]:
        """Choose a membership: of a new group, or of one that is joined on another interface."""
        dice = self.dice
        named = [
            one for one in (ledger.memberships.values() if ledger else ()) if one.where in {NAME, ADDRESS}
        ]
        existing = [name for name, one in model.interfaces.items() if one.exists]
        if named and dice.random() < 0.3:
            return self.with_sources(dice.choice(named).group, dice.choice(existing), NAME)
        group = self.new_group(dice.choice(self.versions), specific=dice.random() < 0.15)
        # Which interface an IPv6 group without one gets depends on the order of the interfaces.
        ways = [NAME, ADDRESS, ALL, ROUTE] if version(group) == 4 else [NAME, ADDRESS, ALL]
        where = dice.choices(ways, [8, 1, 1, 1][: len(ways)])[0]
        return self.with_sources(group, dice.choice(existing) if where in {NAME, ADDRESS} else "", where)

    def with_sources(self, group: str, interface: str, where: str) -> dict[str, Any]:
        """Choose for which sources a group is joined."""
        dice = self.dice
        specific = group.startswith(("232.", "ff35:"))
        mode = "sources" if specific else dice.choices(["any", "sources", "excluded"], [6, 1, 1])[0]
        chosen = dice.sample(SOURCES[version(group)], dice.randint(1, 2))
        return {
            "group": group,
            "interface": interface,
            "where": where,
            "sources": chosen if mode == "sources" else [],
            # One source is never excluded, so that something can arrive.
            "excluded": chosen[:1] if mode == "excluded" else [],
        }

    def open(self, model: Model) -> Step:
        dice = self.dice
        kind = dice.choice(self.kinds)
        options: dict[str, Any] = {}
        if kind == "ring":
            options["ring"] = dice.choice([50, 2000])
            options["ring_policy"] = dice.choice(["drop-oldest", "drop-newest", "block"])
        if dice.random() < 0.3:
            options["rejoin"] = dice.choice([0.01, 0.05, 0.3])
        if dice.random() < 0.2:
            options["recv_buffer"] = 65_536
        if dice.random() < 0.2:
            options["gro"] = False
        if self.engine != "socket":
            options["engine"] = self.engine
        options = {name: value for name, value in options.items() if f"{name}=" not in self.without}
        count = dice.randint(1, self.most_groups)
        memberships = [self.new_membership(model, None) for _ in range(count)]
        others = list(model.ledgers)
        shared = dice.choice(others) if others and dice.random() < 0.3 else None
        return step(
            "open",
            receiver=f"r{next(self.names)}-{kind}",
            kind=kind,
            share=shared,
            memberships=memberships,
            options=options,
        )

    def membership_change(self, model: Model) -> list[Step]:
        dice = self.dice
        if not model.ledgers:
            return []
        ledger = dice.choice(list(model.ledgers.values()))
        joined = list(ledger.memberships.values())
        if not any(one.exists for one in model.interfaces.values()):
            return []
        if joined and dice.random() < 0.4:
            chosen = dice.sample(joined, dice.randint(1, len(joined)))
            return [step("leave", receiver=ledger.name, groups=[list(one.key) for one in chosen])]
        if joined and dice.random() < 0.2:
            chosen = dice.sample(joined, dice.randint(1, len(joined)))
            return [step("rejoin", receiver=ledger.name, groups=[list(one.key) for one in chosen])]
        room = self.most_groups - len(joined)
        if room <= 0:
            return []
        memberships = [self.new_membership(model, ledger) for _ in range(dice.randint(1, min(room, 5)))]
        return [step("join", receiver=ledger.name, memberships=memberships)]

    def receiver_change(self, model: Model) -> list[Step]:
        dice = self.dice
        if len(model.ledgers) > 1 and dice.random() < 0.5:
            return [step("close", receiver=dice.choice(list(model.ledgers)))]
        if len(model.ledgers) < MAX_RECEIVERS and any(one.exists for one in model.interfaces.values()):
            return [self.open(model)]
        return []

    # Datagrams

    def traffic(self, model: Model) -> list[Step]:
        """Send to some memberships, a little or as a flood."""
        dice = self.dice
        count = dice.choices([1, 5, 100, 5000], [4, 4, 3, 2])[0]
        return self.send_to_all(model, count, dice.choice([0.3, 1.0]))

    def send_to_all(self, model: Model, count: int, part: float = 1.0) -> list[Step]:
        dice = self.dice
        targets = [
            [ledger.port_name, one.group, one.interface, dice.choice(SOURCES[version(one.group)])]
            for ledger in model.ledgers.values()
            for one in ledger.memberships.values()
            if model.place(one.interface).works_for(one.group) and dice.random() < part
        ]
        return [step("send", targets=targets, count=max(1, count // len(targets)))] if targets else []

    def unwanted(self, model: Model) -> list[Step]:
        """Send to groups that are joined elsewhere or nowhere, on the ports of receivers."""
        dice = self.dice
        working = [name for name, one in model.interfaces.items() if one.works]
        if not working or not model.ledgers:
            return []
        groups = [one.group for ledger in model.ledgers.values() for one in ledger.memberships.values()]
        groups += [self.new_group(dice.choice(self.versions), specific=False)]
        targets: list[list[str]] = []
        for ledger in model.ledgers.values():
            for group in dice.sample(groups, min(len(groups), 5)):
                source = dice.choice(SOURCES[version(group)])
                targets.append([ledger.port_name, group, dice.choice(working), source])
        return [step("send", targets=targets, count=dice.choice([1, 10]))]

    # Faults

    def fault(self, model: Model) -> list[Step]:
        """Disturb an interface, or end its disturbance, once or several times in a row."""
        steps: list[Step] = []
        for _ in range(self.dice.choice([1, 1, 2, 4])):
            name = self.dice.choice(list(model.interfaces))
            steps.append(self.one_fault(model, name))
        return steps

    def one_fault(self, model: Model, name: str) -> Step:
        dice = self.dice
        interface = model.interfaces[name]
        if not interface.exists:
            return step("create", interface=name)
        if not interface.is_up:
            return step(dice.choice(["up", "up", "delete"]), interface=name)
        if not interface.has_carrier:
            return step("plug", interface=name)
        if not interface.has_ipv6:
            return step("ipv6_on", interface=name)
        actions = ["down", "flap", "delete", "recreate", "ipv6_off", "route", "route"]
        if interface.kind != "tun":
            actions += ["unplug", "same_index"]
        if len(model.interfaces) < 5 and dice.random() < 0.2:
            return step("usurp", interface=name, name=f"u{next(self.names)}")
        return step(dice.choice(actions), interface=name)

    def noise(self, model: Model) -> list[Step]:
        """Change what concerns no membership."""
        dice = self.dice
        existing = [name for name, one in model.interfaces.items() if one.works]
        if existing and dice.random() < 0.6:
            return [step(dice.choice(["readdress", "add_address"]), interface=dice.choice(existing))]
        return [step(dice.choice(["routes", "stranger"]), count=dice.choice([1, 20, 300]))]

    def process(self, model: Model) -> list[Step]:
        """Fork, or run out of descriptors while an interface is disturbed."""
        dice = self.dice
        if not model.ledgers:
            return []
        receiver = dice.choice(list(model.ledgers))
        if dice.random() < 0.5:
            return [step("fork", receiver=receiver, call=dice.choice(FORKED_CALLS))]
        victims = [name for name, one in model.interfaces.items() if one.works and one.kind != "tun"]
        if not victims:
            return []
        fault = dice.choice(["flap", "readdress", "recreate"])
        return [step("exhaust", interface=dice.choice(victims), fault=fault)]
