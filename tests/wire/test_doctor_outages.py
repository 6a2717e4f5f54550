"""A diagnosis whose interface is away for a part of the time proves nothing about that time."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from multicast.apps.diagnosis import diagnose, diagnose_with_peer
from tests.wire.doctoring import GROUP, GROUP6, HERE, PORT, agrees, only, positive, sending, serving
from tests.wire.lab import Lab, feed, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

FLUSH = "ip -n $near -4 addr flush dev eth0"
RESTORE = "ip -n $near addr add 10.78.0.1/24 dev eth0"


@dataclass
class Outage:
    """Commands that take the interface away and bring it back, and how the finding describes it."""

    cut: str
    mend: str
    was: str
    proof: dict[str, Any] = field(default_factory=dict[str, Any])


OUTAGES = {
    "down": Outage("ip -n $near link set eth0 down", "ip -n $near link set eth0 up", "was down for "),
    "carrier": Outage("ip -n $switch link set p01 down", "ip -n $switch link set p01 up", "was "),
    "renamed": Outage(
        "ip -n $near link set eth0 name lan0",
        "ip -n $near link set lan0 name eth0",
        "was renamed to lan0 for ",
    ),
    "created again": Outage(
        "ip -n $near link del eth0",
        "ip -n $switch link add p01 type veth peer name eth0 netns $near; ip -n $switch link set p01 master br0 up; "
        f"{RESTORE}; ip -n $near link set eth0 up",
        "was down and gone for ",
    ),
}


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


def mending(net: Lab, outage: Outage, away: float) -> tuple[Callable[[], None], Callable[[], bool]]:
    """Return the callbacks of a diagnosis that cut its interface off, and mend it after ``away`` seconds."""
    mended_at: list[float] = []

    def cut() -> None:
        net.sh(outage.cut)
        mended_at.append(time.monotonic() + away)

    def mend() -> bool:
        if mended_at and time.monotonic() >= mended_at[0]:
            mended_at.clear()
            net.sh(outage.mend)
        return False

    return cut, mend


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_doctor_interface_away_for_a_part_of_the_time_is_named_and_not_proven(
    net: Lab, outage: Outage
) -> None:
    cut, mend = mending(net, outage, 0.2)
    with on(net.near):
        found = diagnose(HERE, duration=0.7, on_joined=cut, is_over=mend)
    finding = only(found, "interface-down")
    assert finding.confidence == "likely"
    assert f"the interface eth0 {outage.was}" in finding.text
    assert "nothing arrived in the rest of the time" in finding.text
    assert agrees(finding.proof, {"interface": "eth0", "received": 0})


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_doctor_stream_interrupted_by_its_interface_is_no_fault_of_a_switch(net: Lab, outage: Outage) -> None:
    cut, mend = mending(net, outage, 0.7)
    with sending(net, {}), on(net.near):
        # A stream counts as stopped after 0.5 s.
        found = diagnose(HERE, duration=1.1, on_joined=cut, is_over=mend)
    finding = only(found, "interface-down")
    assert finding.confidence == "proven"
    assert f"the interface eth0 {outage.was}" in finding.text
    assert agrees(finding.proof, {"received": positive})


@pytest.mark.parametrize("outage", [OUTAGES["down"], OUTAGES["carrier"]], ids=["down", "carrier"])
def test_doctor_interface_away_for_a_moment_is_named(net: Lab, outage: Outage) -> None:
    with on(net.near):
        found = diagnose(HERE, duration=0.3, on_joined=lambda: net.sh(f"{outage.cut}; {outage.mend}"))
    assert only(found, "interface-down").confidence == "likely"


def test_doctor_interface_away_while_it_listens_everywhere_is_named(net: Lab) -> None:
    # It listens to the endpoint for 0.4 s, and then everywhere for as long.
    outage = Outage("true", "ip -n $near link set eth0 down; ip -n $near link set eth0 up", "")
    begin, flap = mending(net, outage, 0.5)
    with on(net.near):
        found = diagnose(HERE, duration=0.4, on_joined=begin, is_over=flap)
    assert only(found, "interface-down").confidence == "likely"


def test_doctor_interface_renamed_while_it_listens_is_named_with_its_new_name(net: Lab) -> None:
    with on(net.near):
        found = diagnose(HERE, duration=0.3, on_joined=lambda: net.sh(OUTAGES["renamed"].cut))
    finding = only(found, "interface-down")
    assert (finding.confidence, finding.proof) == ("proven", {"interface": "eth0", "renamed_to": "lan0"})
    assert finding.fix == f"multicast listen {GROUP}:{PORT}%lan0"


def positive_seconds(value: Any) -> bool:
    return isinstance(value, float) and value >= 0.2


@pytest.mark.parametrize("mend", [RESTORE, "true"], ids=["back", "missing"])
def test_doctor_interface_without_an_address_proves_no_missing_sender(net: Lab, mend: str) -> None:
    cut, restore = mending(net, Outage(FLUSH, mend, ""), 0.2)
    with on(net.near):
        found = diagnose(HERE, duration=0.5, on_joined=cut, is_over=restore)
    finding = only(found, "no-sender")
    assert finding.confidence == "likely"
    assert agrees(finding.proof, {"without_address_s": positive_seconds})
    assert "which had no IPv4 address for " in finding.text


def test_doctor_interface_that_loses_the_address_of_the_other_version_proves_a_missing_sender(
    net: Lab,
) -> None:
    with on(net.near):
        found = diagnose(f"[{GROUP6}%eth0]:{PORT}", duration=0.3, on_joined=lambda: net.sh(FLUSH))
    assert only(found, "no-sender").confidence == "proven"


@pytest.fixture
def peer(net: Lab) -> Iterator[str]:
    """The address of the far host, which runs the other end."""
    with serving(net):
        yield "10.78.0.2"


@pytest.mark.parametrize("is_fed", [False, True], ids=["silent", "fed"])
def test_peer_is_not_compared_with_an_interface_that_was_away(net: Lab, peer: str, is_fed: bool) -> None:
    outage = Outage("ip -n $near link set eth1 down", "ip -n $near link set eth1 up", "")
    cut, mend = mending(net, outage, 0.2)
    with ExitStack() as stack:
        if is_fed:
            stack.enter_context(feed(net.far, GROUP, PORT, interface="eth1"))
        stack.enter_context(on(net.near))
        found = diagnose_with_peer(f"{GROUP}:{PORT}%eth1", peer, duration=0.6, on_joined=cut, is_over=mend)
    finding = only(found, "interface-down")
    assert finding.confidence == ("proven" if is_fed else "likely")
    assert "the interface eth1 was down for " in finding.text


def test_peer_whose_probes_do_not_leave_it_is_named(net: Lab, peer: str) -> None:
    net.sh(f"ip -n $far route add {GROUP} dev eth1; ip -n $switch link set p12 down")
    with on(net.near):
        finding = only(diagnose_with_peer(f"{GROUP}:{PORT}%eth1", peer, duration=0.3), "interface-down")
    assert (finding.confidence, finding.proof["seen_leaving"]) == ("likely", 0)
    assert f"{peer} sent probes, but none left it: its interface eth1 " in finding.text
