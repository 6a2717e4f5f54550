"""Test that the model catches a broken product: every rule, first alone and then with receivers on a real network."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos import consumers, network
from tests.chaos.consumers import Direct
from tests.chaos.driver import Driver
from tests.chaos.model import ALL, NAME, Arrival, Datagram, FaultError, Interface, Ledger, Membership, Model
from tests.chaos.steps import SOURCES, Chooser, Step, step

GROUP, OTHER = "239.66.1.1", "239.66.1.2"
SOURCE, UNWANTED = SOURCES[4]
PORT = 5000


@pytest.fixture
def model() -> Model:
    """Return a model of one receiver that has joined one group."""
    model = Model()
    model.appear(Interface("c0", "veth", 7))
    model.appear(Interface("c1", "veth", 8))
    ledger = Ledger("r", PORT)
    ledger.memberships[GROUP, "c0"] = Membership(GROUP, "c0", excluded=(UNWANTED,))
    model.ledgers["r"] = ledger
    return model


def send(model: Model, group: str = GROUP, interface: str = "c0", source: str = SOURCE) -> Datagram:
    return model.send(PORT, group, interface, source)


def arrive(model: Model, *datagrams: Datagram, **changed: Any) -> None:
    for one in datagrams:
        fields: dict[str, Any] = {
            "number": one.number,
            "group": one.group,
            "index": one.index,
            "source": one.source,
        }
        model.arrive("r", [Arrival(**{**fields, **changed})])
    model.check()


def check_counted(model: Model, counted: int) -> None:
    ledger = model.ledgers["r"]
    ledger.check_counted(counted, list(ledger.missing.values()))


def test_model_datagrams_that_arrive_in_order_are_no_fault(model: Model) -> None:
    arrive(model, send(model), send(model))
    check_counted(model, 0)


def test_model_datagram_arriving_twice_is_a_fault(model: Model) -> None:
    datagram = send(model)
    with pytest.raises(FaultError, match="twice"):
        arrive(model, datagram, datagram)


def test_model_datagrams_out_of_order_are_a_fault(model: Model) -> None:
    first, second = send(model), send(model)
    with pytest.raises(FaultError, match="after #2 of the same stream"):
        arrive(model, second, first)


@pytest.mark.parametrize(
    "unwanted", [{"group": OTHER}, {"interface": "c1"}, {"source": UNWANTED}], ids=lambda one: next(iter(one))
)
def test_model_datagram_not_joined_is_a_fault(model: Model, unwanted: dict[str, str]) -> None:
    with pytest.raises(FaultError, match="which it has not joined"):
        arrive(model, send(model, **unwanted))


def test_model_datagram_after_leave_is_a_fault(model: Model) -> None:
    del model.ledgers["r"].memberships[GROUP, "c0"]
    with pytest.raises(FaultError, match="which it has not joined"):
        arrive(model, send(model))


@pytest.mark.parametrize("changed", [{"index": 8}, {"group": OTHER}, {"source": UNWANTED}], ids=str)
def test_model_datagram_with_wrong_origin_is_a_fault(model: Model, changed: dict[str, Any]) -> None:
    with pytest.raises(FaultError, match="received #1 from"):
        arrive(model, send(model), **changed)


def test_model_datagram_never_sent_is_a_fault(model: Model) -> None:
    model.arrive("r", [Arrival(99, GROUP, 7, SOURCE)])
    with pytest.raises(FaultError, match="never sent"):
        model.check()


def test_model_loss_without_count_is_a_fault(model: Model) -> None:
    send(model)
    send(model)
    with pytest.raises(FaultError, match="lost 2 of 2 datagrams and counted 1"):
        check_counted(model, 1)
    check_counted(model, 2)


def test_model_count_without_loss_is_a_fault(model: Model) -> None:
    arrive(model, send(model))
    with pytest.raises(FaultError, match="counted 1 dropped datagrams, but only 0 are missing"):
        check_counted(model, 1)


def test_model_loss_on_disturbed_interface_is_no_fault(model: Model) -> None:
    send(model)
    model.disturb("c0")
    send(model)
    check_counted(model, 0)
    assert [membership.group for _, membership in model.unsettled()] == [GROUP]


@pytest.mark.parametrize(("where", "copies"), [(NAME, 0), (ALL, 3)])
def test_model_ipv6_group_on_all_interfaces_is_queued_on_those_outside_too(
    model: Model, where: str, copies: int
) -> None:
    model.outside = 3
    ledger = model.ledgers["r"]
    ledger.memberships["ff15::1", "c0"] = Membership("ff15::1", "c0", where=where)
    datagram = send(model, "ff15::1", source=SOURCES[6][0])
    check_counted(model, 1 + copies)
    with pytest.raises(FaultError, match="1 are missing"):
        check_counted(model, 2 + copies)
    arrive(model, datagram)
    check_counted(model, copies)


@pytest.mark.parametrize("is_periodic", [True, False], ids=["periodic", "first address after a fault"])
def test_model_source_not_heard_yet_may_be_lost_by_a_report(model: Model, is_periodic: bool) -> None:
    model.ledgers["r"].is_rejoining = is_periodic
    if not is_periodic:
        model.disturb("c0")
        model.ledgers["r"].memberships[GROUP, "c0"].settled = True
    send(model)
    check_counted(model, 0)
    arrive(model, send(model))
    send(model)
    with pytest.raises(FaultError, match="lost 1 of 1 datagrams and counted 0"):
        check_counted(model, 0)


class Filtering(Direct):
    """A receiver that hands over what ``keep`` returns of each batch."""

    keep: Callable[[list[Arrival]], list[Arrival]]

    def __init__(self, deliver: consumers.Deliver, *args: Any, **options: Any) -> None:
        super().__init__(lambda arrivals: deliver(self.keep(arrivals)), *args, **options)


class WithoutFilter(Direct):
    """A receiver that delivers what this machine receives for others."""

    def open(self, groups: list[str], port: int, **options: Any) -> Any:
        return super().open(groups, port, strict=False, **options)


class WithoutHealing(Filtering):
    """A receiver that is deaf on an interface that was recreated."""

    def keep(self, arrivals: list[Arrival]) -> list[Arrival]:
        self.index = getattr(self, "index", arrivals[0].index)
        return [one for one in arrivals if one.index == self.index]


class Duplicating(Filtering):
    def keep(self, arrivals: list[Arrival]) -> list[Arrival]:
        return arrivals * 2


class Reordering(Filtering):
    def keep(self, arrivals: list[Arrival]) -> list[Arrival]:
        # Each group of three is handed over backwards.
        held: list[Arrival] = getattr(self, "held", [])
        self.held = [*held, *arrivals]
        if len(self.held) < 3:
            return []
        backwards, self.held = self.held[::-1], []
        return backwards


class Losing(Filtering):
    def keep(self, arrivals: list[Arrival]) -> list[Arrival]:
        return [one for one in arrivals if one.number % 3]


class Miscounting(Direct):
    def counted(self) -> int:
        return super().counted() + 1000


class Failing(Direct):
    def receive(self) -> None:
        self.rx.recv_batch()
        raise OSError(24, "Too many open files")


def membership(group: str) -> dict[str, Any]:
    return {"group": group, "interface": "c0", "where": "name", "sources": [], "excluded": []}


def steps_for(kind: str) -> Iterator[Step]:
    options: dict[str, Any] = {"kind": kind, "share": None, "options": {}}
    yield step("add", interface="c0", kind="veth")
    yield step("open", receiver="broken", memberships=[membership(GROUP)], **options)
    # Another receiver makes the kernel deliver its group to this machine.
    others = {**options, "kind": "direct", "share": "broken"}
    yield step("open", receiver="right", memberships=[membership(OTHER)], **others)
    yield step("send", targets=[["broken", GROUP, "c0", SOURCE], ["broken", OTHER, "c0", SOURCE]], count=5)
    yield step("settle")
    yield step("recreate", interface="c0")
    yield step("settle")
    yield step("send", targets=[["broken", GROUP, "c0", SOURCE], ["broken", OTHER, "c0", SOURCE]], count=5)


BROKEN: list[tuple[type[Direct], str]] = [
    (WithoutFilter, "broken received .* which it has not joined"),
    (WithoutHealing, f"broken receives nothing for {GROUP}%c0 .*within"),
    (Duplicating, "broken received .* twice"),
    (Reordering, "broken received .* after #.* of the same stream"),
    (Losing, "broken lost .* and counted 0"),
    (Miscounting, "broken counted 1000 dropped datagrams"),
    (Failing, "broken: receiving raised OSError"),
]


@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.parametrize(("kind", "fault"), BROKEN, ids=[kind.__name__ for kind, _ in BROKEN])
def test_chaos_broken_receiver_is_caught(
    kind: type[Direct], fault: str, tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("ip")
    with network.running() as net:
        driver = Driver(net, {"broken": kind, "direct": Direct})
        try:
            with pytest.raises(FaultError, match=fault):
                driver.perform_all(steps_for("broken"))
        finally:
            driver.abandon()


@pytest.mark.private_net
@pytest.mark.platform("linux")
def test_chaos_right_receiver_has_no_fault(tool: Callable[[str], str]) -> None:
    tool("ip")
    with network.running() as net:
        driver = Driver(net)
        try:
            driver.perform_all(steps_for("direct"))
            driver.end()
        finally:
            driver.abandon()
    assert driver.sent == driver.received + driver.counted
    assert driver.sent >= 20


def test_chooser_same_seed_gives_the_same_steps() -> None:
    def first_steps() -> list[str]:
        model = Model()
        chosen: list[str] = []
        for one in Chooser(7).steps(model, 3):
            if one.action == "add":
                model.appear(Interface(one.arguments["interface"], one.arguments["kind"], 1))
            chosen.append(str(one))
        return chosen

    assert first_steps() == first_steps()
    assert len(first_steps()) > 3
