"""Test that SIGINT prints nothing and gives the exit code 130, whenever it arrives after Python itself has started."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import GROUP, MULTICAST
from tests.support.programs import environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

# Python runs this before the program. At each import after the first one of the package, and at the exit, a fork of the
# process gets a signal.
PROBES = """
import atexit, os, sys
number, report = int(os.environ["PROBE_SIGNAL"]), os.environ["PROBE_REPORT"]
state = {"begun": False, "me": os.getpid()}

def probe(name):
    if os.getpid() != state["me"]:
        return
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), number)
        return
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(report, "a") as file:
        print(status, name, file=file)

def on_event(event, details):
    if event == "import":
        if state["begun"]:
            probe(details[0])
        state["begun"] = state["begun"] or details[0] == "multicast._interrupts"

atexit.register(probe, "the exit")
sys.addaudithook(on_event)
"""

SAY = ["SAY", "--group", GROUP, "--iface", "127.0.0.1", "--message", "hello"]
RECV = ["RECV", "--group", GROUP, "--iface", "127.0.0.1", "--timeout", "0"]
SCRIPT = [str(Path(sys.executable).parent / "multicast")]
CASES = {
    "NOOP": ([*MULTICAST, "NOOP"], signal.SIGINT),
    "help": ([*MULTICAST, "--help"], signal.SIGINT),
    "interfaces": ([*MULTICAST, "interfaces", "-q"], signal.SIGINT),
    "RECV": ([*MULTICAST, *RECV], signal.SIGINT),
    "SAY terminated": ([*MULTICAST, *SAY], signal.SIGTERM),
    "script NOOP": ([*SCRIPT, "NOOP"], signal.SIGINT),
    "script SAY": ([*SCRIPT, *SAY], signal.SIGINT),
}


@pytest.mark.parametrize(("argv", "number"), CASES.values(), ids=CASES)
def test_command_signal_at_any_import_or_the_exit_prints_nothing(
    argv: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(PROBES)
    report, err = tmp_path / "report", tmp_path / "err"
    env = environment(PYTHONPATH=str(tmp_path), PROBE_REPORT=str(report), PROBE_SIGNAL=str(number.value))
    with err.open("wb") as file:
        subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            check=False,
            timeout=50,
        )
    ends = report.read_text().splitlines()
    assert len(ends) > 10
    assert ends[-1].endswith("the exit")
    assert [end for end in ends if not end.startswith(f"{128 + number} ")] == []
    # The command itself, which got no signal, reports that nothing was received.
    assert err.read_text().count("\n") == (1 if "RECV" in argv else 0)
