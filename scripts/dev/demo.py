"""A live exchange between two programs: HEAR listens, SAY talks, and both sides are printed.

Run by ``make demo`` under ``scripts/dev/netns.sh --hosts 2``, so that nothing leaves the machine: the listener is
on one host of a bridge and the speaker on the other. Without a private network both keep to loopback.
"""

import os
import queue
import shlex
import subprocess
import sys
import threading
from typing import IO

GROUP = "239.255.0.1"
PORT = "59595"
GREETING = "Hello, multicast!"
# Longest wait for anything here, in seconds.
PATIENCE = 15.0


def place(host: str) -> tuple[list[str], list[str]]:
    """Return how a command line starts and ends that runs on ``host``, or here where there are no hosts."""
    if int(os.environ.get("MULTICAST_HOSTS", "0")) >= 2:
        return ["ip", "netns", "exec", host], []
    return [], ["--iface", "127.0.0.1"]


def command(host: str, *arguments: str, end: tuple[str, ...] = ()) -> list[str]:
    """Return the command line of ``multicast`` on ``host``; ``end`` is what has to come last."""
    before, after = place(host)
    where = ["--group", GROUP, "--port", PORT]
    return [*before, sys.executable, "-m", "multicast", *arguments, *where, *after, *end]


def show(side: str, text: str) -> None:
    """Print one line of one side at once."""
    print(f"{side:>5} | {text}", flush=True)


def pump(pipe: IO[str], lines: "queue.Queue[str]") -> None:
    """Hand on what the listener prints, line by line, to its end."""
    for line in pipe:
        lines.put(line.rstrip("\n"))


def say(*words: str) -> None:
    """Send one message, as anybody would from a shell.

    Raises:
        subprocess.SubprocessError: SAY failed, or took too long.
    """
    subprocess.run(command("h2", "SAY", end=("--message", *words)), check=True, timeout=PATIENCE)


def wake(lines: "queue.Queue[str]") -> None:
    """Knock until the listener hears it: only then has it joined the group.

    Raises:
        queue.Empty: It never did.
    """
    for _ in range(int(PATIENCE)):
        say("knock")
        try:
            lines.get(timeout=1.0)
        except queue.Empty:
            continue
        return
    raise queue.Empty


def hear(lines: "queue.Queue[str]") -> str:
    """Return the next line that the listener prints, knocks left aside.

    Raises:
        queue.Empty: It printed nothing else.
    """
    while "knock" in (line := lines.get(timeout=PATIENCE)):
        pass
    return line


def exchange(listener: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> str:
    """Send the greeting and the STOP, and return what was heard of the greeting.

    Raises:
        queue.Empty: Nothing was heard.
        subprocess.SubprocessError: SAY failed, or the listener did not stop.
    """
    wake(lines)
    show("SAY", GREETING)
    say(GREETING)
    heard = hear(lines)
    show("HEAR", heard)
    show("SAY", "STOP")
    say("STOP")
    listener.wait(timeout=PATIENCE)
    show("HEAR", f"stopped with exit code {listener.returncode}")
    return heard


def fail(reason: str) -> int:
    """Say why the demonstration failed; returns its exit code."""
    print(f"demo: FAILED: {reason}", file=sys.stderr)
    return 1


def main() -> int:
    """Run the demonstration; 0 where the greeting was heard and the listener stopped cleanly."""
    listen = command("h1", "--daemon", "--use-std", "HEAR")
    print("$", shlex.join(listen))
    print("$", shlex.join(command("h2", "SAY", end=("--message", GREETING))), flush=True)
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        reader = threading.Thread(target=pump, args=(listener.stdout, lines))
        reader.start()
        try:
            heard = exchange(listener, lines)
        except queue.Empty:
            return fail("the listener heard nothing")
        except subprocess.SubprocessError as problem:
            return fail(str(problem))
        finally:
            if listener.poll() is None:
                listener.kill()
            reader.join()
    if heard != GREETING or listener.returncode != 0:
        return fail("the greeting was not heard as it was said, or the listener ended badly")
    print("demo: ok, what was said was heard")
    return 0


if __name__ == "__main__":
    sys.exit(main())
