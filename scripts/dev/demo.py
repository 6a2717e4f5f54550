"""Run ``multicast listen`` and ``multicast send``, and print what each of them prints.

``make demo`` runs this under ``scripts/dev/netns.sh --hosts 2``, so that no datagram leaves the machine: the listener
and the sender are two hosts on a bridge. Without a private network, both use the loopback interface.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator

ENDPOINT = "239.255.0.1:5000"
GREETING = "Hello, multicast!"
# The longest wait for any step, in seconds.
PATIENCE = 15.0


def command(host: str, *arguments: str) -> list[str]:
    """Return the command line of ``multicast`` on ``host``, or on this machine's loopback interface without hosts."""
    program = [sys.executable, "-m", "multicast", *arguments]
    if int(os.environ.get("MULTICAST_HOSTS", "0")) >= 2:
        return ["ip", "netns", "exec", host, *program]
    return [*program, "--interface", "127.0.0.1"]


def show(side: str, text: str) -> None:
    """Print a line of one side immediately."""
    print(f"{side:>6} | {text}", flush=True)


def exchange(listener: "subprocess.Popen[str]", sending: list[str]) -> Iterator[str]:
    """Send the greeting as soon as the listener says that it listens; yield the lines that the listener prints.

    Raises:
        subprocess.SubprocessError: The sender failed or took too long.
    """
    assert listener.stdout is not None
    for number, line in enumerate(listener.stdout):
        show("listen", line.rstrip("\n"))
        yield line.rstrip("\n")
        if number == 0:
            sent = subprocess.run(
                sending,
                check=True,
                timeout=PATIENCE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            show("send", sent.stdout.rstrip("\n"))


def main() -> int:
    """Run the demonstration; return 0 if the greeting arrived and the listener ended cleanly."""
    listening = command("h1", "listen", ENDPOINT, "--count", "1", "--timeout", f"{PATIENCE:g}")
    sending = command("h2", "send", ENDPOINT, GREETING)
    print("$", shlex.join(listening))
    print("$", shlex.join(sending), flush=True)
    with subprocess.Popen(listening, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as listener:
        try:
            heard = list(exchange(listener, sending))
        except subprocess.SubprocessError as problem:
            listener.kill()
            print(f"demo: FAILED: {problem}", file=sys.stderr)
            return 1
    if GREETING not in heard or listener.returncode != 0:
        print(
            "demo: FAILED: the greeting did not arrive as it was sent, or the listener failed",
            file=sys.stderr,
        )
        return 1
    print("demo: ok, the greeting arrived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
