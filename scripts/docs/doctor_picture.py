"""Draw the terminal of a diagnosis: ``docs/_static/doctor.svg``.

    bash scripts/dev/netns.sh --hosts 2 .venv/bin/python -m scripts.docs.doctor_picture

``multicast doctor`` runs on one host of a private network, while another sends to a different port. The picture shows
what it printed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from scripts.docs.terminal_picture import CHARACTER, PATIENCE, STYLE, environment, on, window

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
    width = int(28 + CHARACTER * max(map(len, lines)))
    drawn, height = window("the host that receives nothing", lines, 0, width)
    body = "\n  ".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 1}" width="{width}" '
        f'height="{height + 1}" role="img" aria-labelledby="t d">\n'
        '  <title id="t">A diagnosis that finds the wrong port</title>\n'
        f'  <desc id="d">{escape("; ".join(lines))}</desc>\n'
        f"  <style>{STYLE}  </style>\n  {body}\n</svg>\n"
    )


def main() -> int:
    """Run the diagnosis and draw it; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw the terminal of a diagnosis.")
    parser.add_argument("file", nargs="?", type=Path, default=PICTURE, help="the file to write")
    file = parser.parse_args().file
    if int(os.environ.get("MULTICAST_HOSTS", "0")) < 2:
        print("run it with: bash scripts/dev/netns.sh --hosts 2", file=sys.stderr)
        return 1
    file.write_text(picture(diagnosis()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
