"""Steps that open, join, leave and close."""

from typing import Any

from tests.chaos import consumers
from tests.chaos.model import ADDRESS, ALL, NAME, ROUTE, Ledger, Membership
from tests.chaos.world import World


class ReceiverSteps(World):
    """Each method returns whether it was possible."""

    def open(
        self,
        receiver: str,
        kind: str,
        share: str | None,
        memberships: list[dict[str, Any]],
        options: dict[str, Any],
    ) -> bool:
        owner = self.consumers.get(share) if share else None
        joined = self._joinable(memberships, None)
        if not joined:
            return False
        # The constructor joins the first, and join() the others.
        first, *rest = joined
        deliver, fail = self._reports(receiver)
        chosen = {"source": list(first.sources), "exclude": list(first.excluded)}
        port = owner.rx.port if owner else 0
        where = self._interface_argument(first)
        consumer = self.kinds[kind](deliver, fail, [first.group], port, interface=where, **chosen, **options)
        ledger = Ledger(receiver, consumer.rx.port)
        ledger.port_name = self.model.ledgers[share].port_name if owner and share else receiver
        ledger.is_rejoining = "rejoin" in options
        with self.model.lock:
            self.model.ledgers[receiver] = ledger
            self._record(ledger, first)
        self._settle_at_once(ledger, first)
        self.consumers[receiver] = consumer
        consumer.start()
        self._join(receiver, rest)
        return True

    def _interface_argument(self, membership: Membership) -> str | None:
        if membership.where == ADDRESS:
            addresses = self.network.links[membership.interface].addresses
            return addresses[":" in membership.group].partition("/")[0]
        return {NAME: membership.interface, ALL: "all", ROUTE: None}[membership.where]

    def _record(self, ledger: Ledger, membership: Membership) -> None:
        """Enter a membership that is being joined into the model, on all its interfaces. It is not settled yet."""
        places = list(self.model.interfaces) if membership.where == ALL else [membership.interface]
        for interface in places:
            entry = membership.moved_to(interface)
            ledger.memberships[entry.key] = entry

    def _settle_at_once(self, ledger: Ledger, membership: Membership) -> None:
        """A group that was joined on an interface that works is settled."""
        with self.model.lock:
            for one in ledger.memberships.values():
                if one.group == membership.group and membership.interface in {"", one.interface}:
                    one.settled = self.model.place(one.interface).works_for(one.group)
                    one.was_disturbed = not one.settled

    def _reports(self, receiver: str) -> tuple[consumers.Deliver, consumers.Fail]:
        return (
            lambda arrivals: self.model.arrive(receiver, arrivals),
            lambda message: self.model.fail(f"{receiver}: {message}"),
        )

    def _joinable(self, memberships: list[dict[str, Any]], ledger: Ledger | None) -> list[Membership]:
        found: dict[tuple[str, str], Membership] = {}
        for one in memberships:
            membership = Membership(
                one["group"], one["interface"], tuple(one["sources"]), tuple(one["excluded"]), one["where"]
            )
            if membership.where == ROUTE:
                membership = membership.moved_to(self.model.route)
            if self._can_join(membership, ledger):
                found[membership.key] = membership
        return list(found.values())

    def _can_join(self, membership: Membership, ledger: Ledger | None) -> bool:
        joined = ledger.memberships.values() if ledger else ()
        group, interface = membership.key
        others = [one for one in joined if one.group == group]
        if membership.where in {ALL, ROUTE}:
            return not others
        if any(one.where in {ALL, ROUTE} or one.interface == interface for one in others):
            return False
        place = self.model.place(interface)
        # An address of an interface that is down may be gone.
        return place.can_join(group) and (membership.where == NAME or place.is_up)

    def join(self, receiver: str, memberships: list[dict[str, Any]]) -> bool:
        ledger = self.model.ledgers.get(receiver)
        if ledger is None:
            return False
        joined = self._joinable(memberships, ledger)
        self.drain()
        self._join(receiver, joined)
        return bool(joined)

    def _join(self, receiver: str, memberships: list[Membership]) -> None:
        ledger = self.model.ledgers[receiver]
        for membership in memberships:
            with self.model.lock:
                # From here until join() returns, datagrams may arrive.
                self._record(ledger, membership)
            self.call(
                receiver,
                "join",
                membership.group,
                self._interface_argument(membership),
                source=list(membership.sources),
                exclude=list(membership.excluded),
            )
            self._settle_at_once(ledger, membership)

    def leave(self, receiver: str, groups: list[list[str]]) -> bool:
        ledger = self.model.ledgers.get(receiver)
        if ledger is None:
            return False
        left = False
        for group, interface in groups:
            membership = ledger.memberships.get((group, interface))
            if membership is not None:
                left |= self._leave(receiver, ledger, membership)
        return left

    def _leave(self, receiver: str, ledger: Ledger, membership: Membership) -> bool:
        group, interface = membership.key
        together = [one for one in ledger.memberships.values() if one.group == group]
        is_single = membership.where in {NAME, ADDRESS} and len(together) > 1
        if is_single and not self.model.place(interface).exists:
            # Without its interface, a group can only be left as a whole.
            return False
        left = [membership] if is_single else together
        with self.model.lock:
            for one in left:
                one.settled = False
        self.drain()
        self.call(receiver, "leave", group, *([interface] if is_single else []))
        with self.model.lock:
            for one in left:
                del ledger.memberships[one.key]
        return True

    def rejoin(self, receiver: str, groups: list[list[str]]) -> bool:
        """Leave groups, and join them again at once."""
        ledger = self.model.ledgers.get(receiver)
        if ledger is None:
            return False
        before = [ledger.memberships.get((group, interface)) for group, interface in groups]
        again = [one for one in before if one is not None]
        if not self.leave(receiver, groups):
            return False
        for one in again:
            # A group on all interfaces comes back as a whole with its first membership.
            if self._can_join(one, ledger):
                self._join(receiver, [one])
        return True

    def close(self, receiver: str) -> bool:
        if receiver not in self.consumers:
            return False
        with self.model.lock:
            # Datagrams sent from now on can still be on their way when the receiver is closed.
            for membership in self.model.ledgers[receiver].memberships.values():
                membership.settled = False
        self.drain()
        self.finish(receiver)
        return True
