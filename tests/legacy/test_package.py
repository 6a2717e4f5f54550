"""Test the package: its constants, that importing it has no side effects, and the cost of importing it."""

import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import multicast
from tests.support import startup
from tests.support.programs import environment

DEFAULTS = {
    "_MCAST_DEFAULT_PORT": 59595,
    "_MCAST_DEFAULT_GROUP": "224.0.0.1",
    "_MCAST_DEFAULT_TTL": 1,
    "_MCAST_DEFAULT_BUFFER_SIZE": 1316,
    "_MCAST_DEFAULT_BIND_IP": "224.0.0.1",
    "_MCAST_DEFAULT_GROUPS": ["224.0.0.1"],
    "_BLANK": "",
}
READ_ALL = (
    f"import json, multicast; print(json.dumps({{n: getattr(multicast, n) for n in {list(DEFAULTS)}}}))"
)


def python(code: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run ``code`` in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_constants_without_variables_have_documented_values() -> None:
    done = python(READ_ALL)
    assert (json.loads(done.stdout), done.stderr) == (DEFAULTS, "")


def test_constants_with_variables_have_their_values() -> None:
    done = python(
        READ_ALL,
        MULTICAST_PORT="50000",
        MULTICAST_GROUP="239.1.2.3",
        MULTICAST_TTL="5",
        MULTICAST_BUFFER_SIZE="9000",
        MULTICAST_BIND_ADDR="0.0.0.0",
        MULTICAST_GROUPS="239.3.3.3 239.2.2.2",
    )
    assert json.loads(done.stdout) == {
        "_MCAST_DEFAULT_PORT": 50000,
        "_MCAST_DEFAULT_GROUP": "239.1.2.3",
        "_MCAST_DEFAULT_TTL": 5,
        "_MCAST_DEFAULT_BUFFER_SIZE": 9000,
        "_MCAST_DEFAULT_BIND_IP": "0.0.0.0",
        "_MCAST_DEFAULT_GROUPS": ["239.1.2.3", "239.2.2.2", "239.3.3.3"],
        "_BLANK": "",
    }
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "80"), ("GROUP", "10.0.0.1"), ("TTL", "forever"), ("BUFFER_SIZE", "0"), ("BIND_ADDR", "here")],
)
def test_constants_bad_variable_warns_once_and_uses_the_default(name: str, value: str) -> None:
    done = python(READ_ALL, **{f"MULTICAST_{name}": value})
    assert json.loads(done.stdout) == DEFAULTS
    assert done.stderr.count("UserWarning") == 1
    assert f"MULTICAST_{name} must be " in done.stderr
    assert f", got {value!r}; " in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["send", "recv", "hear", "skt", "env", "exceptions"])
def test_package_import_provides_its_modules(name: str) -> None:
    done = python(f"import multicast; print(multicast.{name}.__name__)")
    assert done.stdout == f"multicast.{name}\n"
    assert isinstance(getattr(multicast, name), ModuleType)


@pytest.mark.parametrize("name", multicast.__all__)
def test_package_public_name_exists_and_is_listed(name: str) -> None:
    found = getattr(multicast, name)
    assert found is getattr(multicast, name), "the name must always give the same object"
    assert name in dir(multicast)


def test_package_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert multicast.__version__ == version("multicast")


def test_package_index_links_the_documentation_and_names_asyncio() -> None:
    from importlib.metadata import metadata

    found = metadata("multicast")
    assert "Framework :: AsyncIO" in found.get_all("Classifier", [])
    links = [link.split(", ") for link in found.get_all("Project-URL", [])]
    assert [url for name, url in links if name == "Documentation"] == [
        "https://reactive-firewall.github.io/multicast/"
    ]


def test_package_names_itself() -> None:
    assert multicast.__module__ == "multicast"
    assert multicast.__package__ == "multicast"


def test_package_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Reciever'"):  # codespell:ignore
        getattr(multicast, "Reciever")  # codespell:ignore # noqa: B009 - a type checker would refuse the plain form


@pytest.mark.parametrize("timeout", ["None", "12.5"])
def test_package_import_keeps_the_default_timeout(timeout: str) -> None:
    done = python(
        f"import socket; socket.setdefaulttimeout({timeout}); import multicast, multicast.sync;"
        "print(socket.getdefaulttimeout())"
    )
    assert (done.stdout, done.stderr) == (f"{timeout}\n", "")


@pytest.mark.platform("linux")
def test_package_import_has_no_side_effects() -> None:
    done = python(
        "import os, signal, socket, sys, threading, logging, warnings\n"
        "def state():\n"
        "    return (sorted(os.listdir('/proc/self/fd')), threading.enumerate(), logging.root.handlers[:],\n"
        "            logging.root.level, warnings.filters[:], dict(os.environ), sys.excepthook,\n"
        "            [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)])\n"
        "before = state()\n"
        "import multicast, multicast.sync, multicast.cli.parser\n"
        "assert state() == before\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_package_logger_has_one_null_handler() -> None:
    handlers = logging.getLogger("multicast").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
    done = python("import logging, multicast; logging.getLogger('multicast.recv').error('not to be seen')")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.alone
@pytest.mark.platform("linux", "darwin")
def test_package_import_costs_little_more_than_socket_and_logging(tmp_path: Path) -> None:
    """The bound is 1.5 times the cost of importing ``socket`` and ``logging``."""
    base, ours = ["-c", "import socket, logging"], ["-c", "import multicast"]
    assert startup.ratio(ours, base, 1.5, tmp_path) < 1.5


def test_gen_socket_returns_a_standard_library_socket() -> None:
    with multicast.genSocket() as sock:
        assert type(sock) is socket.socket
