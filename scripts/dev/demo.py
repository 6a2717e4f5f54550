"""Run HEAR and SAY and print what each of them sends and receives.

``make demo`` runs this under ``scripts/dev/netns.sh --hosts 2``, so that no datagram leaves the machine: the listener
and the sender are two hosts on a bridge. Without a private network, both use the loopback interface.
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
# The longest wait for any step, in seconds.
PATIENCE = 15.0


def place(host: str) -> tuple[list[str], list[str]]:
    """Return the start and the end of a command line that runs on ``host``, or here if there are no hosts."""
    if int(os.environ.get("MULTICAST_HOSTS", "0")) >= 2:
        return ["ip", "netns", "exec", host], []
    return [], ["--iface", "127.0.0.1"]


def command(host: str, *arguments: str, end: tuple[str, ...] = ()) -> list[str]:
    """Return the command line of ``multicast`` on ``host``; ``end`` are its last arguments."""
    before, after = place(host)
    where = ["--group", GROUP, "--port", PORT]
    return [*before, sys.executable, "-m", "multicast", *arguments, *where, *after, *end]


def show(side: str, text: str) -> None:
    """Print a line of one side immediately."""
    print(f"{side:>5} | {text}", flush=True)


def pump(pipe: IO[str], lines: "queue.Queue[str]") -> None:
    """Put each line that the listener prints into ``lines``."""
    for line in pipe:
        lines.put(line.rstrip("\n"))


def say(*words: str) -> None:
    """Send one message, with the command that a user would type.

    Raises:
        subprocess.SubprocessError: SAY failed or took too long.
    """
    subprocess.run(command("h2", "SAY", end=("--message", *words)), check=True, timeout=PATIENCE)


def wake(lines: "queue.Queue[str]") -> None:
    """Send until the listener prints something, which shows that it has joined the group.

    Raises:
        queue.Empty: It printed nothing.
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
    """Return the next line that the listener prints, without those that woke it.

    Raises:
        queue.Empty: It printed no other line.
    """
    while "knock" in (line := lines.get(timeout=PATIENCE)):
        pass
    return line


def exchange(listener: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> str:
    """Send the greeting and STOP; return the line that the listener printed.

    Raises:
        queue.Empty: The listener printed nothing.
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
    """Print why the demonstration failed; return its exit code."""
    print(f"demo: FAILED: {reason}", file=sys.stderr)
    return 1


def main() -> int:
    """Run the demonstration; return 0 if the greeting arrived and the listener stopped cleanly."""
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
            return fail("the listener received nothing")
        except subprocess.SubprocessError as problem:
            return fail(str(problem))
        finally:
            if listener.poll() is None:
                listener.kill()
            reader.join()
    if heard != GREETING or listener.returncode != 0:
        return fail("the greeting did not arrive as it was sent, or the listener failed")
    print("demo: ok, the message arrived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
