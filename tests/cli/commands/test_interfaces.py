"""``multicast interfaces``: the same facts as a table, as lines and as JSON."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multicast import Receiver
from multicast.apps import interfaces as app
from multicast.apps.routes import interface_for
from tests.cli.running import MULTICAST, run
from tests.support import machines
from tests.support.programs import environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ("239.4.8.1", "ff15::4:8:1")


def records(*words: str) -> list[dict[str, Any]]:
    done = run("interfaces", "--json", *words)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def on_a_terminal(*words: str, **env: str) -> tuple[int, str]:
    """Run the command at a terminal; return the exit code and what the screen shows, without standard error."""
    ours, theirs = os.openpty()
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen:
        with subprocess.Popen(
            [*MULTICAST, "interfaces", *words],
            env=environment(**{"TERM": "xterm", "COLUMNS": "120", **env}),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        ) as program:
            os.close(theirs)
            while True:
                try:
                    part = screen.read(65536)
                except OSError:  # the end of a terminal whose other side is closed (EIO)
                    break
                if not part:
                    break
                shown += part
        return program.returncode, shown.decode().replace("\r\n", "\n")


def test_json_has_a_record_for_each_interface_and_a_summary() -> None:
    *found, summary = records()
    assert [one["name"] for one in found] == [name for _, name in sorted(socket.if_nameindex())]
    assert summary == {"type": "summary", "interfaces": len(found), "usable": len(found)}
    for one in found:
        assert list(one) == [
            "type",
            "name",
            "index",
            "addresses",
            "mtu",
            "up",
            "multicast",
            "loopback",
            "usable",
            "unusable_reason",
            "limitation",
            "groups",
            "default_for",
            "igmp_version",
            "mld_version",
            "mld_queries",
        ]
        assert one["type"] == "interface"
    veth0 = next(one for one in found if one["name"] == "veth0")
    assert veth0["index"] == socket.if_nametoindex("veth0")
    assert {"192.0.2.2", "2001:db8::2"} <= set(veth0["addresses"])
    assert (veth0["mtu"], veth0["up"], veth0["multicast"], veth0["loopback"]) == (1500, True, True, False)
    assert (veth0["usable"], veth0["unusable_reason"], veth0["igmp_version"]) == (True, None, 3)


def test_groups_joined_by_any_program_are_listed() -> None:
    with Receiver(GROUPS, 0, interface="veth0"):
        (veth0, _) = records("veth0")
        assert set(GROUPS) <= set(veth0["groups"])
        assert veth0["groups"].index(GROUPS[0]) < veth0["groups"].index(GROUPS[1])
        (lo, _) = records("lo")
        assert set(GROUPS).isdisjoint(lo["groups"])
    (veth0, _) = records("veth0")
    assert set(GROUPS).isdisjoint(veth0["groups"])


def in_a_namespace(script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a fresh network namespace, after the shell commands of ``script``."""
    return subprocess.run(
        ["unshare", "-n", "bash", "-ec", f'{script}\nexec "$@"', "bash", *MULTICAST, "interfaces", *words],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


TWO = """
ip link set lo up
ip link add d1 type veth peer name d2
ip link set d1 up
ip link set d2 up
ip addr add 192.0.2.3/24 dev d1
ip -6 addr add 2001:db8::3/64 dev d1 nodad
"""


@pytest.mark.parametrize(
    ("routes", "default"),
    [
        (
            "ip route add default dev d1; ip -6 route del ff00::/8 dev d2 table local",
            {"d1": ["IPv4", "IPv6"]},
        ),
        # The source address is d1's all the same: it does not tell the interface.
        ("ip route add default dev d1; ip route add 224.0.0.0/4 dev d2 src 192.0.2.3", {"d2": ["IPv4"]}),
        ("ip route add unreachable 224.0.0.0/4", {}),
        ("ip route add prohibit 224.0.0.0/4", {}),
        ("ip route add blackhole 224.0.0.0/4", {}),
        ("", {}),
    ],
)
def test_default_interface_is_the_one_of_the_route(routes: str, default: dict[str, list[str]]) -> None:
    done = in_a_namespace(f"{TWO}\n{routes}", "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    ours = {one["name"]: one["default_for"] for one in found[:-1]}
    versions = {version for some in default.values() for version in some} | {"IPv4"}
    for name, expected in ours.items():
        assert [version for version in expected if version in versions] == default.get(name, []), done.stderr


def test_interface_that_is_down_is_not_usable() -> None:
    done = in_a_namespace(f"{TWO}\nip link set d2 down", "--json", "d1", "d2")
    d2, d1, summary = (json.loads(line) for line in done.stdout.splitlines())
    assert (d1["up"], d1["usable"]) == (True, True)
    assert (d2["up"], d2["usable"], d2["unusable_reason"]) == (False, False, "it is down")
    assert (summary["interfaces"], summary["usable"]) == (2, 1)
    assert done.returncode == 0


def test_exit_code_is_1_if_no_interface_is_usable() -> None:
    done = in_a_namespace(f"{TWO}\nip link set d2 down", "d2")
    assert done.returncode == 1
    assert done.stdout.startswith("d2\tdown\t")
    assert done.stderr.splitlines() == [
        "d2 cannot be used: it is down",
        "1 interface, 0 usable for multicast",
    ]


@pytest.mark.parametrize("kind", machines.KINDS)
def test_stock_loopback_is_usable_and_its_limit_is_reported(kind: str) -> None:
    with machines.running(kind) as machine:
        done = machine.run(*MULTICAST, "interfaces", "--json", "lo")
        lo, _ = (json.loads(line) for line in done.stdout.splitlines())
        assert (lo["multicast"], lo["usable"], lo["unusable_reason"]) == (False, True, None)
        assert lo["limitation"].startswith("IPv6 groups can be joined on it, but not sent to: ")
        # It is true: both are joined, IPv4 is received, and IPv6 cannot be sent.
        assert machine.run(sys.executable, "-c", TALK, "239.4.8.2").stdout == "received\n"
        assert (
            machine.run(sys.executable, "-c", TALK, "ff15::4:8:2").stdout == "joined, not sent: ENETUNREACH\n"
        )
        # The remedy that it names is one.
        remedy = re.search(r"add one: sudo (.*)\)$", lo["limitation"])
        assert remedy
        assert machine.run(*remedy[1].split()).returncode == 0
        try:
            assert machine.run(sys.executable, "-c", TALK, "ff15::4:8:2").stdout == "received\n"
            done = machine.run(*MULTICAST, "interfaces", "--json", "lo")
            assert json.loads(done.stdout.splitlines()[0])["limitation"] is None
        finally:
            assert machine.run(*remedy[1].replace(" add ", " del ").split()).returncode == 0


TALK = """
import errno, sys
import multicast
group = sys.argv[1]
with multicast.Receiver(group, 0, interface="lo") as rx, multicast.Sender(group, rx.port, interface="lo") as tx:
    try:
        tx.send(b"hello")
    except OSError as error:
        print("joined, not sent:", errno.errorcode[error.errno])
    else:
        print("received" if rx.recv(timeout=10).data == b"hello" else "something else")
"""


def test_pipe_gets_one_interface_a_line() -> None:
    done = run("interfaces", "veth0")
    name, state, mtu, usable, addresses, groups = done.stdout.decode().rstrip("\n").split("\t")
    assert (name, state, mtu, usable) == ("veth0", "up", "1500", "yes")
    assert addresses.startswith("192.0.2.2,2001:db8::2,fe80::")
    assert groups.startswith("224.0.0.1,ff01::1,ff02::1,")
    assert done.stderr == b"1 interface, 1 usable for multicast\n"


def test_verbose_adds_the_index_and_the_protocols() -> None:
    fields = run("interfaces", "-v", "veth0").stdout.decode().rstrip("\n").split("\t")
    assert fields[6:] == [str(socket.if_nametoindex("veth0")), "v3", "v2", "0"]


def test_mld_version_that_a_setting_demands_is_reported() -> None:
    setting = Path("/proc/sys/net/ipv6/conf/veth0/force_mld_version")
    setting.write_text("1", "ascii")
    try:
        (veth0, _) = records("veth0")
    finally:
        setting.write_text("0", "ascii")
    assert veth0["mld_version"] == 1


def test_mld_version_is_unknown_after_reports_of_version_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev_snmp6").mkdir()
    (tmp_path / "dev_snmp6" / "veth0").write_text(
        "Icmp6InGroupMembQueries\t3\nIcmp6OutGroupMembResponses\t1\n", "ascii"
    )
    monkeypatch.setattr(app, "_PROC_NET", tmp_path)
    (veth0,) = app.survey(["veth0"])
    assert (veth0.mld_version, veth0.mld_queries) == (None, 3)


def test_quiet_prints_names_alone() -> None:
    done = run("interfaces", "--quiet", "veth0", "lo")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"lo\nveth0\n", b"")


def test_terminal_gets_a_table() -> None:
    code, screen = on_a_terminal("lo", "veth0")
    assert code == 0
    head, *rows = screen.splitlines()
    assert head.startswith("\x1b[1mINTERFACE  STATE  MTU    MULTICAST  ADDRESSES ")
    at = head.index("ADDRESSES") - len("\x1b[1m")
    lo = next(number for number, row in enumerate(rows) if row.startswith("lo *"))
    assert rows[lo][at:].startswith("127.0.0.1 ")
    assert rows[lo + 1][at:].startswith("::1 ")
    assert any(row.startswith("veth0  ") and " 1500 " in row for row in rows)


@pytest.mark.parametrize(
    ("words", "env", "colored"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_color_is_used_as_chosen(words: list[str], env: dict[str, str], colored: bool) -> None:
    assert ("\x1b[" in on_a_terminal(*words, **env)[1]) is colored


@pytest.mark.parametrize("columns", ["40", "60"])
def test_narrow_terminal_gets_blocks_that_fit(columns: str) -> None:
    _, screen = on_a_terminal("--color", "never", COLUMNS=columns)
    assert max(map(len, screen.splitlines())) <= int(columns)
    assert re.search(
        r"^veth0\n  state: up\n  mtu: 1500\n  multicast: yes\n  addresses: 192\.0\.2\.2\n", screen, re.M
    )


def test_closed_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("interfaces", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_full_disk_is_reported() -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("interfaces", "-q", stdout=full)
    assert done.returncode == 2
    assert done.stderr == (
        b"multicast interfaces: cannot write standard output: No space left on device (free some space, or write "
        b"somewhere else)\n"
    )


def test_survey_of_a_system_without_proc_knows_no_groups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(app, "_PROC_NET", tmp_path)
    for one in app.survey():
        assert (one.groups, one.igmp_version, one.mld_version, one.mld_queries) == (
            None,
            None,
            None,
            None,
        )


def test_survey_of_a_missing_interface_is_an_error() -> None:
    with pytest.raises(
        OSError, match=r"cannot find interface nosuch0: No such device \(interfaces here: lo, "
    ):
        app.survey(["lo", "nosuch0"])


def test_route_of_a_word_that_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        interface_for("nowhere")


def test_help_of_the_command_is_that_of_help(tool: Callable[[str], str]) -> None:
    asked, option = run("help", "interfaces"), run("interfaces", "--help")
    assert (asked.returncode, option.returncode) == (0, 0)
    assert asked.stdout == option.stdout
    assert asked.stdout.startswith(b"usage: multicast interfaces ")
