"""The parts of a relay that need no network: envelopes, accounts, the memory, places and files."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multicast.relay import Route, read_config
from multicast.relay.envelope import Account, Carried, Opened, pack, unpack
from multicast.relay.memory import WINDOW, Memory
from multicast.relay.places import parse_destination, parse_source

X = Carried(b"x", "239.1.2.3", 5000, ("10.0.0.1", 7), 3, 9)

ADDRESSES = st.sampled_from([("239.1.2.3", "10.0.0.1"), ("ff15::1:2:3", "fe80::1")])


@settings(max_examples=100)
@given(
    addresses=ADDRESSES,
    data=st.binary(max_size=100),
    ports=st.tuples(st.integers(1, 65535), st.integers(0, 65535)),
    numbers=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    ttl=st.integers(0, 255),
    time=st.integers(0, 2**63 - 1),
)
def test_envelope_returns_what_was_packed(
    addresses: tuple[str, str],
    data: bytes,
    ports: tuple[int, int],
    numbers: tuple[int, int],
    ttl: int,
    time: int,
) -> None:
    carried = Carried(data, addresses[0], ports[0], (addresses[1], ports[1]), ttl, time)
    assert unpack(pack(carried, *numbers)) == Opened(*numbers, carried)
    assert unpack(pack(None, *numbers)) == Opened(*numbers, None)


@given(st.binary(max_size=80))
def test_envelope_of_other_bytes_is_refused_or_read(data: bytes) -> None:
    for candidate in (data, b"MCR1" + data):
        try:
            unpack(candidate)
        except ValueError as error:
            assert "envelope" in str(error)


def note(account: Account, *numbers: int) -> list[bool]:
    return [account.note(Opened(1, number, X)) for number in numbers]


def test_account_counts_what_is_missing_and_takes_back_what_is_late() -> None:
    account = Account()
    assert note(account, 5, 6, 9) == [True, True, True]
    assert account.lost == 2
    assert note(account, 8, 8, 6) == [True, False, False]
    assert account.lost == 1
    account.note(Opened(1, 12, None))
    assert account.lost == 4
    assert note(account, 12, 13) == [True, True]
    assert account.lost == 3
    account.note(Opened(2, 100, X))
    assert account.lost == 3


def test_account_of_a_huge_gap_keeps_its_memory_bounded() -> None:
    account = Account()
    note(account, 1, 10**12)
    assert account.lost == 10**12 - 2
    assert sum(len(leg.missing) for leg in account._legs.values()) <= 65536


def test_account_of_many_relays_keeps_its_memory_bounded() -> None:
    account = Account()
    for relay in range(1000):
        account.note(Opened(relay, 1, X))
        account.note(Opened(relay, 10**9, X))
    assert account.lost == 1000 * (10**9 - 2)
    assert len(account._legs) == 256
    assert sum(len(leg.missing) for leg in account._legs.values()) < 1_000_000
    # The relay that was heard last is still known.
    assert account.note(Opened(999, 10**9 - 1, X))
    assert account.lost == 1000 * (10**9 - 2) - 1


def test_memory_leaves_out_one_echo_for_each_datagram() -> None:
    memory = Memory(lambda: 0.0)
    other = X._replace(sender=("10.0.0.2", 7))
    assert not memory.is_echo(X)
    assert not memory.is_echo(X)
    assert [memory.is_echo(other) for _ in range(3)] == [True, True, False]


def test_memory_recognizes_what_was_sent_and_forgets_it_after_the_window() -> None:
    now = [0.0]
    memory = Memory(lambda: now[0])
    memory.note_sent(X)
    assert memory.is_echo(X._replace(sender=("10.0.0.2", 7)))
    memory.note_sent(X)
    now[0] = WINDOW
    assert not memory.is_echo(X._replace(sender=("10.0.0.2", 7)))


def test_memory_knows_an_envelope_of_what_was_heard_from_the_same_sender_only() -> None:
    memory = Memory(lambda: 0.0)
    assert not memory.was_heard(X)
    memory.is_echo(X)
    assert not memory.was_heard(X._replace(sender=("10.0.0.2", 7)))
    assert memory.was_heard(X)
    assert not memory.was_heard(X)


@pytest.mark.parametrize(
    "text",
    [
        "239.1.2.3:5000%eth0",
        "udp://10.0.0.1:7000",
        "udp://[fd77::1]:7000",
        "nats://hub:4222/feeds.one",
        "tls://hub/feeds",
    ],
)
def test_place_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_source(text)) == text


def test_place_never_shows_a_password() -> None:
    assert str(parse_source("nats://me:secret@hub/feeds")) == "nats://hub/feeds"


def test_original_is_a_destination_only() -> None:
    assert str(parse_destination("original%eth0")) == "original%eth0"
    with pytest.raises(ValueError, match="original"):
        parse_source("original%eth0")


@pytest.mark.parametrize("group", ["239.1.2.3:5000", "[ff05::3]:5000"])
@pytest.mark.parametrize("prefix", ["udp://", "udp://@"])
@pytest.mark.parametrize("parse", [parse_source, parse_destination])
def test_group_as_a_unicast_place_is_refused(parse: Callable[[str], object], prefix: str, group: str) -> None:
    """Nobody would join the group."""
    with pytest.raises(ValueError, match=re.escape(f"write {group} for a group, got")):
        parse(prefix + group)


def test_config_has_routes_and_options_of_nats(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(
        '[[relay]]\nfrom = "239.1.2.3:5000"\nto = ["udp://h:1", "239.1.2.4:5000"]\nttl = 4\n'
        '[[relay]]\nfrom = "nats://h/s"\nto = "original%eth0"\n[nats]\nname = "relay"\n'
    )
    routes, nats = read_config(path)
    assert routes == [
        Route("239.1.2.3:5000", ("udp://h:1", "239.1.2.4:5000"), ttl=4),
        Route("nats://h/s", ("original%eth0",)),
    ]
    assert nats == {"name": "relay"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a table [[relay]]"),
        ("[relay]\n", "needs a table [[relay]]"),
        ("relay = [1]\n", "relay 1 is not a table"),
        ("not toml", "cannot read"),
        ("[other]\n", "unknown table 'other'"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\n', "relay 1 needs 'from' and 'to'"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\nto = [1]\n', "relay 1 needs 'from' and 'to'"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\nto = 1\n', "relay 1 has a wrong value for 'to': 1"),
        ('[[relay]]\nfrom = 1\nto = "udp://h:1"\n', "relay 1 has a wrong value for 'from': 1"),
        ('[[relay]]\nfrom = "here"\nto = "udp://h:1"\n', "relay 1: 'here' does not"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\nto = "udp://h:1"\nttl = 999\n', "relay 1: ttl must be an integer"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\nto = ["udp://h:1", "udp://h:1"]\n', "udp://h:1 twice"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\nto = "udp://h:1"\nttl = "4"\n', "wrong value for 'ttl': '4'"),
        ('[[relay]]\nfrom = "239.1.2.3:5"\nto = "udp://h:1"\ntll = 4\n', "unknown entry 'tll'"),
    ],
)
def test_config_with_a_wrong_entry_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_config(path)
