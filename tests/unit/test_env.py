"""Test the ``MULTICAST_*`` variables: valid values are used, invalid ones give one warning and the default."""

import ipaddress
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from multicast import env

VARIABLES = ("PORT", "GROUP", "GROUPS", "TTL", "BUFFER_SIZE", "BIND_ADDR")


@pytest.fixture(autouse=True)
def no_variables_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"MULTICAST_{name}", raising=False)


def loaded(load: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what ``load`` returns and the warnings it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = load()
    assert all(warning.category is UserWarning for warning in caught)
    return value, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("validate", "good", "bad"),
    [
        (env.validate_port, [49152, 59595, 65535, "50000"], [49151, 65536, 0, -1, "80"]),
        (env.validate_ttl, [1, 64, 126, "126"], [0, 127, 255, -1, "0"]),
        (env.validate_buffer_size, [1, 1316, 65507, "9000"], [0, -5, 65508, "65508"]),
    ],
)
def test_env_validators_accept_exactly_their_range(
    validate: Callable[[object], bool], good: list[object], bad: list[object]
) -> None:
    assert [validate(value) for value in good] == [True] * len(good)
    assert [validate(value) for value in bad] == [False] * len(bad)


@pytest.mark.parametrize("validate", [env.validate_port, env.validate_ttl, env.validate_buffer_size])
@pytest.mark.parametrize(
    "value", ["", "junk", "1.5", "0x10", " 59595 ", "59_595", "\u0661", None, 1.5, [], b"1"]
)
def test_env_validators_non_integer_raises_value_error(
    validate: Callable[[object], bool], value: object
) -> None:
    with pytest.raises(ValueError, match=r"integer|invalid literal"):
        validate(value)


@pytest.mark.parametrize("addr", ["224.0.0.1", "239.255.255.255", ipaddress.IPv4Address("232.1.2.3")])
def test_validate_multicast_address_group_returns_true(addr: object) -> None:
    assert env.validate_multicast_address(addr) is True


@pytest.mark.parametrize(
    "addr",
    [
        *(
            "223.255.255.255",
            "240.0.0.0",
            "10.0.0.1",
            "",
            "junk",
            "224.0.0",
            "224.0.0.1 ",
            "224.0.0.1\0",
            "\udcff",
        ),
        *(None, 224, b"224.0.0.1", ["224.0.0.1"], ipaddress.IPv4Address("192.0.2.1")),
    ],
)
def test_validate_multicast_address_anything_else_returns_false(addr: object) -> None:
    assert env.validate_multicast_address(addr) is False


LOADERS: list[tuple[str, Callable[[], Any], Any, str, Any, list[str]]] = [
    ("PORT", env.load_port, 59595, "50001", 50001, ["80", "65536", "junk", "", "5e4"]),
    ("TTL", env.load_TTL, 1, "5", 5, ["0", "127", "-1", "many", ""]),
    ("BUFFER_SIZE", env.load_buffer_size, 1316, "9000", 9000, ["0", "65508", "1k", ""]),
    (
        "GROUP",
        env.load_group,
        ipaddress.IPv4Address("224.0.0.1"),
        "239.1.2.3",
        ipaddress.IPv4Address("239.1.2.3"),
        ["10.0.0.1", "junk", "", "ff02::1"],
    ),
]


@pytest.mark.parametrize(("name", "load", "default", "text", "value", "bad"), LOADERS)
def test_env_variable_overrides_default_and_bad_value_warns_once(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    load: Callable[[], Any],
    default: Any,
    text: str,
    value: Any,
    bad: list[str],
) -> None:
    assert loaded(load) == (default, [])
    monkeypatch.setenv(f"MULTICAST_{name}", text)
    assert loaded(load) == (value, [])
    for junk in bad:
        monkeypatch.setenv(f"MULTICAST_{name}", junk)
        used, warned = loaded(load)
        assert (used, type(used)) == (default, type(default))
        assert len(warned) == 1
        assert f"MULTICAST_{name}" in warned[0]
        assert repr(junk) in warned[0]
        assert str(default) in warned[0]


def test_load_config_without_variables_returns_documented_defaults() -> None:
    assert loaded(env.load_config) == (
        {
            "port": 59595,
            "group": "224.0.0.1",
            "groups": ["224.0.0.1"],
            "ttl": 1,
            "bind_addr": "224.0.0.1",
            "buffer_size": 1316,
        },
        [],
    )


def test_load_config_groups_are_sorted_and_include_group_and_bind_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTICAST_GROUP", "239.5.5.5")
    monkeypatch.setenv("MULTICAST_GROUPS", " 239.9.9.9  239.1.1.1 239.5.5.5 ")
    monkeypatch.setenv("MULTICAST_BIND_ADDR", "239.7.7.7")
    config, warned = loaded(env.load_config)
    assert config["groups"] == ["239.1.1.1", "239.5.5.5", "239.7.7.7", "239.9.9.9"]
    assert config["bind_addr"] == "239.7.7.7"
    assert warned == []


def test_load_config_unicast_bind_address_is_not_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTICAST_BIND_ADDR", "0.0.0.0")
    config, warned = loaded(env.load_config)
    assert (config["bind_addr"], config["groups"], warned) == ("0.0.0.0", ["224.0.0.1"], [])


def test_load_config_bind_address_defaults_to_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTICAST_GROUP", "239.5.5.5")
    assert loaded(env.load_config)[0]["bind_addr"] == "239.5.5.5"


def test_load_config_each_bad_value_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(f"MULTICAST_{name}", "junk")
    monkeypatch.setenv("MULTICAST_GROUPS", "239.1.1.1 junk 10.0.0.1")
    config, warned = loaded(env.load_config)
    assert config == {
        "port": 59595,
        "group": "224.0.0.1",
        "groups": ["224.0.0.1", "239.1.1.1"],
        "ttl": 1,
        "bind_addr": "224.0.0.1",
        "buffer_size": 1316,
    }
    # MULTICAST_GROUPS has two bad entries. Each is skipped with its own warning.
    assert sorted(text.split()[0] for text in warned) == sorted(
        [*(f"MULTICAST_{name}" for name in VARIABLES), "MULTICAST_GROUPS"]
    )
