"""Draw the terminal of a diagnosis: ``docs/_static/doctor.svg``.

    bash scripts/dev/netns.sh --hosts 2 .venv/bin/python -m scripts.docs.doctor_picture

``multicast doctor`` runs on one host of a private network, while another sends to a different port. The picture shows
what it printed.
"""

import subprocess
import sys
from pathlib import Path

from scripts.docs.terminals import PATIENCE, document, draw, environment, fitted, on, window

GROUP, PORT, OTHER = "239.1.2.3", 5000, 5001
DOCTOR = f"multicast doctor {GROUP}:{PORT} -v"
SENT = 12
SEND = f"""
import multicast
with multicast.Sender("{GROUP}:{OTHER}", gso=False) as tx:
    tx.send_many([b"x"] * {SENT})
"""
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "_static" / "doctor.svg"


def diagnosis() -> list[str]:
    """Run the diagnosis at a terminal; return the lines on it.

    Raises:
        subprocess.SubprocessError: A command failed or took too long.
    """
    lines = [f"$ {DOCTOR}"]
    command = on("h1", f"exec script --quiet --command {DOCTOR!r} /dev/null")
    env = {**environment(), "NO_COLOR": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=env
    ) as doctor:
        assert doctor.stdout is not None
        for line in doctor.stdout:
            lines.append(line.rstrip("\r\n"))
            if line.startswith("listening to "):
                subprocess.run(on("h2", f"exec {sys.executable} -c '{SEND}'"), check=True, timeout=PATIENCE)
    return [*lines, "$ "]


def picture(lines: list[str]) -> str:
    """Return the picture of the terminal, as SVG."""
    drawn, height = window("the host that receives nothing", fitted(lines), 0)
    return document("A diagnosis that finds the wrong port", lines, drawn, height + 1)


if __name__ == "__main__":
    sys.exit(draw("Draw the terminal of a diagnosis.", PICTURE, lambda: picture(diagnosis())))
