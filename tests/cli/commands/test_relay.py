"""``multicast relay``: what it passes on, what it reports, and how it ends."""

import json
import signal
from pathlib import Path

import pytest

from multicast import Receiver, Sender
from tests.cli.running import GROUP, OTHER, assert_usage_error, run, start
from tests.support import waiting
from tests.wire.relaying import NatsServer

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_relay_passes_datagrams_on_and_ends_with_a_summary(
    number: signal.Signals, code: int, free_port: int
) -> None:
    with (
        Receiver(OTHER, free_port, interface="lo") as rx,
        start("relay", f"{GROUP}:{free_port}%lo", "--to", f"{OTHER}:{free_port}%lo", "--json") as program,
    ):
        program.until_joined(GROUP)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send_many([b"one", b"two"])
        assert [rx.recv(timeout=10.0).data for _ in range(2)] == [b"one", b"two"]
        program.interrupt(number)
        assert program.finish() == code
    leg, summary = map(json.loads, program.out.splitlines())
    assert leg == {
        "type": "leg",
        "from": f"{GROUP}:{free_port}%lo",
        "to": f"{OTHER}:{free_port}%lo",
        "read": 2,
        "written": 2,
        "echoes": 0,
        "copies": 0,
        "lost": 0,
        "lost_here": 0,
        "dropped": 0,
        "failed": 0,
        "too_long": 0,
        "invalid": 0,
        "buffered": 0,
        "connected": None,
    }
    assert summary == {"type": "summary", "legs": 1, "read": 2, "written": 2, "lost": 0, "lost_here": 0}


def test_relay_with_a_file_runs_for_the_duration(free_port: int, tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(f'[[relay]]\nfrom = "{GROUP}:{free_port}%lo"\nto = "udp://127.0.0.1:{free_port}"\n')
    done = run("relay", "--config", str(path), "-d", "0.3", "--stats", "0.1")
    assert done.returncode == 0
    lines = done.stderr.decode().splitlines()
    assert lines[0] == f"relaying from {GROUP}:{free_port}%lo to udp://127.0.0.1:{free_port}"
    assert lines[-1].endswith("relayed 0 datagrams of 0, lost 0 on the way here and 0 on this machine")
    assert len(lines) >= 3


def test_relay_that_gets_its_own_datagram_back_reports_one_in_the_singular(
    free_port: int, tmp_path: Path
) -> None:
    ends = [f"{group}:{free_port}%lo" for group in (GROUP, OTHER)]
    path = tmp_path / "relay.toml"
    path.write_text("".join(f'[[relay]]\nfrom = "{one}"\nto = "{two}"\n' for one, two in (ends, ends[::-1])))
    with start("relay", "--config", str(path), "--stats", "0.1") as program:
        program.until_joined(GROUP)
        program.until_joined(OTHER)
        with Sender(GROUP, free_port, interface="lo") as tx:
            tx.send(b"round and round")
        report = f"{ends[1]} to {ends[0]}: relayed 0 datagrams of 1, 1 skipped after coming back, lost 0 "
        waiting.until(lambda: report in program.err, "the report of an echo")
        program.interrupt()
        assert program.finish() == 130


def test_relay_never_prints_a_password(free_port: int) -> None:
    done = run("relay", f"{GROUP}:{free_port}%lo", "--to", "nats://me:secret@127.0.0.1:1/x", "-d", "0.2")
    assert b"nats://127.0.0.1:1/x" in done.stderr
    assert b"secret" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs FROM and --to, or --config"),
        ([GROUP + ":5000"], "needs FROM and --to, or --config"),
        (
            ["239.1.2.3:1", "239.1.2.4:1"],
            "unrecognized arguments: 239.1.2.4:1 (write --to before each destination)",
        ),
        (
            ["224.0.0.251:5353", "--to", "239.1.2.3:5000"],
            "(--link-scope allows it, or link_scope of a route)",
        ),
        (["239.1.2.3:5000", "--to", "http://x/y"], "must be a group, udp:// or nats://"),
        (["239.1.2.3:5000", "--to", "udp://h:1", "--ttl", "0"], "ttl must be"),
        (["239.1.2.3:5000", "--to", "udp://h:1", "--stats", "0"], "must be a number above 0"),
        (["239.1.2.3:5000", "--to", "udp://h:1", "--to", "udp://h:1"], "name each destination once"),
    ],
)
def test_relay_with_wrong_words_is_a_usage_error(words: list[str], message: str) -> None:
    assert_usage_error("relay", words, message)


@pytest.mark.parametrize(
    ("words", "toml", "message"),
    [
        (["--config", "missing.toml"], "", "cannot read missing.toml: No such file or directory"),
        (["--config", "."], "", "cannot read .: Is a directory"),
        (
            ["--config", "r.toml"],
            "[nats]\nnosuch = 1\n",
            "nats must have only options of nats.connect, got 'nosuch'",
        ),
        (
            [f"{GROUP}:5000%lo", "--to", "udp://255.255.255.255:7"],
            "",
            "cannot send to udp://255.255.255.255:7: ",
        ),
        (
            [f"{GROUP}:5000%lo", "--to", "original%nope"],
            "",
            "cannot send to original%nope: No such device (interfaces here: lo",
        ),
        (
            [f"{GROUP}:5000%nope", "--to", "original"],
            "",
            "cannot use nope: No such device (interfaces here: lo",
        ),
        (
            [f"{GROUP}:5000%lo", "--to", f"{OTHER}:5000%lo", "--to", f"{OTHER}:5001%nope"],
            "",
            "cannot use nope: No such device (interfaces here: lo",
        ),
    ],
)
def test_relay_that_cannot_begin_is_one_error(
    words: list[str], toml: str, message: str, tmp_path: Path
) -> None:
    route = f'[[relay]]\nfrom = "{GROUP}:5000%lo"\nto = "nats://127.0.0.1:1/x"\n'
    (tmp_path / "r.toml").write_text(route + toml)
    done = run("relay", *words, cwd=tmp_path)
    assert done.returncode not in {0, 70}
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"multicast relay: {message}")
    assert done.stdout == b""


def test_relay_that_cannot_send_says_why() -> None:
    words = ["relay", f"{GROUP}:5000%lo", "--to", "nats://127.0.0.1:1/x", "-d", "0.5"]
    done = run(*words)
    assert b"multicast relay: NATS: " in done.stderr
    assert b"Connect call failed ('127.0.0.1', 1)" in done.stderr
    assert b"NATS" not in run(*words, "-q").stderr


def test_relay_that_never_reaches_its_server_fails_after_the_summary() -> None:
    words = [
        f"{GROUP}:5000%lo",
        "--to",
        "nats://me:secret@127.0.0.1:1/x",
        "--to",
        f"{OTHER}:5001%lo",
        "-d",
        "0.5",
    ]
    done = run("relay", *words, "--json")
    assert done.returncode == 69
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "summary"
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("multicast relay: cannot reach nats://127.0.0.1:1: ")
    assert last.endswith(
        "Connect call failed ('127.0.0.1', 1) (check the address, the server and the credentials)"
    )
    assert b"secret" not in done.stderr + done.stdout


def test_relay_with_wrong_credentials_fails(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    config.write_text('authorization { user: "me", password: "secret" }')
    server = NatsServer(config=config)
    try:
        address = server.url.replace("://", "://me:wrong@")
        done = run("relay", f"{GROUP}:5000%lo", "--to", f"{address}/x", "-d", "1")
        right = run(
            "relay", f"{GROUP}:5000%lo", "--to", f"{server.url.replace('://', '://me:secret@')}/x", "-d", "1"
        )
    finally:
        server.kill()
    assert done.returncode == 69
    assert f"cannot reach {server.url}: " in done.stderr.decode()
    assert "Authorization Violation" in done.stderr.decode()
    assert right.returncode == 0, right.stderr


def test_relay_interrupted_before_its_server_answers_ends_by_the_signal() -> None:
    with start("relay", f"{GROUP}:5000%lo", "--to", "nats://127.0.0.1:1/x") as program:
        program.until_joined(GROUP)
        program.interrupt()
        assert program.finish() == 130
    assert "cannot reach" not in program.err
    assert program.err.splitlines()[-1].endswith("not connected")
