"""Test the test support itself: private network, leak detection, refusal of skips, code blocks."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import execnet
import pytest

import multicast
from tests import conftest
from tests.support import joined, leaks, markdown, private_network
from tests.support.private_network import ROOT
from tests.support.programs import environment

NETNS = ROOT / "scripts" / "dev" / "netns.sh"


def netns(*argv: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    env = environment() if path is None else environment(PATH=path)
    return subprocess.run(
        ["bash", str(NETNS), *argv], env=env, capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.private_net
def test_private_network_variable_from_elsewhere_is_not_private(monkeypatch: pytest.MonkeyPatch) -> None:
    assert private_network.is_private()
    monkeypatch.setenv("MULTICAST_NETNS", "net:[1]")
    assert not private_network.is_private()


@pytest.mark.private_net
def test_xdist_workers_have_private_networks_of_their_own() -> None:
    specs: list[execnet.XSpec] = [execnet.XSpec("popen"), execnet.XSpec("popen")]
    conftest.pytest_xdist_setupnodes(specs)
    group = execnet.Group()
    try:
        code = "import os; channel.send((os.readlink('/proc/self/ns/net'), os.environ['MULTICAST_NETNS']))"
        answers = [group.makegateway(spec).remote_exec(code).receive(timeout=20) for spec in specs]
    finally:
        group.terminate(timeout=5)
    assert all(network == promised for network, promised in answers)
    assert len({network for network, _ in answers} | {os.fspath(Path("/proc/self/ns/net").readlink())}) == 3


@pytest.mark.private_net
def test_netns_hosts_reach_only_each_other() -> None:
    inside = (
        "ip -n h1 -brief address show eth0 && ip -n h2 route get 10.77.0.1 && ip -n h2 route get 192.0.2.2"
    )
    done = netns("--hosts", "2", "bash", "-c", inside)
    assert done.returncode == 0, done.stderr
    assert "10.77.0.1/24" in done.stdout
    assert done.stdout.count("dev eth0") == 2


@pytest.mark.private_net
def test_netns_command_that_moves_to_a_host_keeps_the_network() -> None:
    # The last process that is not on a host: the kernel would remove the other ends of all interfaces.
    watch = "ip netns exec h2 timeout 1 ip monitor link"
    done = netns("--hosts", "2", "bash", "-c", f"exec {watch}")
    assert (done.returncode, done.stdout, done.stderr) == (124, "", "")


@pytest.mark.private_net
def test_netns_stock_has_ordinary_loopback_and_default_routes() -> None:
    inside = "ip -brief link; ip route get 239.1.2.3; ip -6 route get ff15::1; ip -6 route show table local"
    done = netns("--stock", "bash", "-c", inside)
    assert done.returncode == 0, done.stderr
    lo, eth0, *_ = done.stdout.splitlines()
    assert lo.endswith("<LOOPBACK,UP,LOWER_UP> ")
    assert "MULTICAST" in eth0
    assert done.stdout.count("dev eth0") >= 2
    assert "ff00::/8 dev lo" not in done.stdout


@pytest.mark.private_net
def test_netns_command_exit_code_is_returned() -> None:
    assert netns("bash", "-c", "exit 7").returncode == 7


@pytest.mark.platform("linux", "darwin")
@pytest.mark.parametrize(
    "argv",
    [[], ["--hosts"], ["--hosts", "1", "true"], ["--hosts", "x", "true"], ["--hosts", "2"], ["--stock"]],
)
def test_netns_wrong_arguments_exit_64_with_usage(argv: list[str]) -> None:
    done = netns(*argv)
    assert done.returncode == 64
    assert done.stderr.startswith("usage:")


@pytest.mark.platform("linux")
def test_netns_without_namespace_warns_and_sets_loopback_only(tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    done = netns("--hosts", "2", "env", path=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0
    assert {"MULTICAST_LOOPBACK_ONLY=1", "MULTICAST_HOSTS=0"} <= set(done.stdout.splitlines())
    assert "MULTICAST_NETNS" not in done.stdout
    assert "no private network (unshare: Operation not permitted)" in done.stderr


@pytest.mark.platform("linux")
def test_leaks_open_descriptor_is_reported() -> None:
    before = leaks.take()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept:
        assert [line for line in leaks.left_since(before) if line.startswith(f"descriptor {kept.fileno()} ")]
    assert leaks.left_since(before) == []


def test_leaks_running_thread_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_GRACE", 0.01)
    before = leaks.take()
    done = threading.Event()
    kept = threading.Thread(target=done.wait, name="kept")
    kept.start()
    try:
        assert "thread kept" in leaks.left_since(before)
    finally:
        done.set()
        kept.join()
    assert leaks.left_since(before) == []


JOIN = """
import socket, sys
with socket.socket() as idle, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    print("open", flush=True)
    sys.stdin.readline()
    membership = socket.inet_aton("239.4.9.1") + socket.inet_aton("127.0.0.1")
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    print("joined", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.platform("linux")
def test_until_joined_counts_only_sockets_of_the_process() -> None:
    with (
        multicast.Receiver(["239.4.9.1", "239.4.9.2"], 0, interface="127.0.0.1"),
        subprocess.Popen(
            [sys.executable, "-c", JOIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other,
    ):
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        joined.until_joined("239.4.9.1", "239.4.9.2", pid=os.getpid())
        with pytest.raises(TimeoutError, match=rf"process {other.pid} to join 239\.4\.9\.1"):
            joined.until_joined("239.4.9.1", pid=other.pid, timeout=0.05)
        other.stdin.write("join\n")
        other.stdin.flush()
        assert other.stdout.readline() == "joined\n"
        assert joined.is_joined("239.4.9.1", other.pid)
        assert not joined.is_joined("239.4.9.2", other.pid)
        other.communicate("end\n")


@pytest.mark.platform("linux")
@pytest.mark.private_net
def test_is_joined_ipv6_group_is_found_on_its_interface() -> None:
    with multicast.Receiver("ff15::4:9:1", 0, interface="veth0"):
        assert joined.is_joined("ff15::4:9:1", os.getpid())
        assert not joined.is_joined("ff15::4:9:2", os.getpid())
    assert not joined.is_joined("ff15::4:9:1", os.getpid())


@pytest.mark.parametrize(
    ("required", "code", "summary"),
    [("0", 0, "1 passed, 1 skipped, 1 deselected"), ("1", 1, "1 failed, 1 passed")],
)
def test_no_skips_skipped_test_fails_when_tools_are_required(
    tmp_path: Path, required: str, code: int, summary: str
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    platform\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_passes(): pass\n"
        "def test_skips(): pytest.skip('no such program')\n"
        "@pytest.mark.platform('nowhere')\n"
        "def test_elsewhere(): raise AssertionError\n"
    )
    env = environment(MULTICAST_REQUIRE_TOOLS=required, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.support.no_skips", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert summary in done.stdout
    assert ("0 skipped (a skip counts as a failure in this run)" in done.stdout) is (required == "1")


def test_markdown_blocks_are_read_with_options_and_without_indent(tmp_path: Path) -> None:
    page = ROOT / "docs" / "faq.md"
    assert [block.code for block in markdown.runnable_blocks(page) if block.options["name"] == "help"] == [
        "python3 -m multicast --help\n"
    ]
    other = tmp_path / "page.md"
    other.write_text("```text\nno\n```\n\n```python pair=x endless\nif 1:\n    pass\n```\n")
    (only,) = markdown.runnable_blocks(other)
    assert (only.language, only.code, only.options, only.line) == (
        "python",
        "if 1:\n    pass\n",
        {"pair": "x", "endless": ""},
        5,
    )
