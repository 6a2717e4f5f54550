"""Test which groups a receiving tool joins and which address it binds."""

import pytest

from multicast._legacy import join_options
from multicast._legacy.join_options import is_group, receiver_kwargs


@pytest.mark.parametrize(
    "text",
    [
        "224.0.0.1",
        "239.255.255.255",
        "ff02::1",
        "FF05::2%eth0",
        "239.1.2.3%eth0",
        "10.0.0.1@232.1.2.3",
        "[ff02::1]",
        "239.1.2.0/24",
        "239.1.2.3+10%eth0",
        "fd00::1@ff35::8000:1+3",
    ],
)
def test_is_group_multicast_endpoint_returns_true(text: str) -> None:
    assert is_group(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.1",
        "0.0.0.0",
        "fe80::1",
        "ff",
        "localhost",
        "239.1.2",
        "224.0.0.1@10.0.0.1",
        "10.0.0.0/8",
        "fd00::1+3",
    ],
)
def test_is_group_anything_else_returns_false(text: str) -> None:
    assert not is_group(text)


def test_receiver_kwargs_single_group_is_strict() -> None:
    assert receiver_kwargs([], "239.1.2.3", "eth0") == {
        "group": ["239.1.2.3"],
        "bind": None,
        "interface": "eth0",
        "source": [],
        "exclude": [],
        "strict": True,
    }


def test_receiver_kwargs_groups_start_with_primary_without_duplicates() -> None:
    assert receiver_kwargs(["239.2.2.2", "239.2.2.2"], "239.1.1.1", None)["group"] == [
        "239.1.1.1",
        "239.2.2.2",
    ]
    assert receiver_kwargs(["239.2.2.2", "239.1.1.1"], "239.1.1.1", None)["group"] == [
        "239.2.2.2",
        "239.1.1.1",
    ]


def test_receiver_kwargs_without_group_uses_the_default() -> None:
    assert receiver_kwargs([], None, None)["group"] == ["224.0.0.1"]


@pytest.mark.parametrize(("host", "interface"), [("0.0.0.0", None), ("192.0.2.2", "192.0.2.2"), ("::", None)])
def test_receiver_kwargs_unicast_host_is_bound_and_not_strict(host: str, interface: str | None) -> None:
    assert receiver_kwargs(["239.1.2.3"], host, None) == {
        "group": ["239.1.2.3"],
        "bind": host,
        "interface": interface,
        "source": [],
        "exclude": [],
        "strict": False,
    }


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(None, []), ((), []), ("10.0.0.1", ["10.0.0.1"]), (("10.0.0.1", "10.0.0.2"), ["10.0.0.1", "10.0.0.2"])],
)
def test_receiver_kwargs_sources_become_a_list(
    given: "str | tuple[str, ...] | None", wanted: list[str]
) -> None:
    assert receiver_kwargs([], "239.1.2.3", None, given)["source"] == wanted
    assert receiver_kwargs([], "0.0.0.0", None, exclude=given)["exclude"] == wanted


def test_receiver_kwargs_interface_overrides_bound_address() -> None:
    assert receiver_kwargs([], "192.0.2.2", "eth0")["interface"] == "eth0"


def test_receiver_kwargs_bind_address_from_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join_options, "_MCAST_DEFAULT_BIND_IP", "0.0.0.0")
    assert receiver_kwargs(["239.1.2.3"], None, None)["bind"] == "0.0.0.0"
    assert receiver_kwargs(["239.1.2.3"], "239.1.2.3", None)["bind"] is None
