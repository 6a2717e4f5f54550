"""Draw the live screen of ``multicast top``: ``docs/_static/top.svg``.

    bash scripts/dev/netns.sh --hosts 2 .venv/bin/python -m scripts.docs.top_picture

``multicast top`` runs on one host of a private network, while another sends. The picture shows its screen.
"""

import re
import struct
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from scripts.docs.terminals import CHARACTER, LINE, document, draw, environment, on, window
from tests.support.terminal import END, HOME, OnTerminal, plain

PORT, COLUMNS, LINES = 5000, 60, 10
LOSSY, RTP, PLAIN, SILENT = (f"239.1.2.{number}" for number in (3, 4, 5, 6))
TOP = "multicast top " + " ".join(f"{group}:{PORT}" for group in (LOSSY, RTP, PLAIN, SILENT))
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "_static" / "top.svg"
# The colors of a terminal, by their codes.
COLORS = {31: "#f47067", 32: "#6bc46d", 33: "#daaa3f", 36: "#39c5cf"}
LOOKS = 12


def send() -> None:
    """Send a numbered stream with losses, RTP, and a stream that pauses, until the process is killed."""
    import itertools  # noqa: PLC0415 - on the other host only
    import time  # noqa: PLC0415 - likewise

    import multicast  # noqa: PLC0415 - likewise
    from multicast.apps.numbered import numbered  # noqa: PLC0415 - likewise

    with (
        multicast.Sender(LOSSY, PORT, ttl=4, rate=500) as lossy,
        multicast.Sender(RTP, PORT, ttl=4) as rtp,
        multicast.Sender(PLAIN, PORT) as other,
    ):
        for turn in itertools.count():
            sent = [turn * 10 + one for one in range(10) if turn % 20 or one != 5]
            lossy.send_many([numbered(1, number, time.time_ns(), 1316) for number in sent])
            rtp.send(struct.pack("!BBHII", 0x80, 33, turn & 0xFFFF, turn * 1800, 7) + bytes(1316))
            if turn % 100 < 40:
                other.send(b"status: ok")


def screen() -> list[str]:
    """Run the command; return the lines of its screen, with colors.

    Raises:
        AssertionError: The screen does not show the streams.
    """
    sender = on("h2", f"exec {sys.executable} -m scripts.docs.top_picture --send")
    with subprocess.Popen(sender, env=environment()) as running:
        try:
            command = on("h1", f"exec {TOP} -n 0.5")
            with OnTerminal(*command, columns=COLUMNS, lines=LINES) as program:
                program.until(
                    lambda: program.output.count(END) >= LOOKS, f"screen number {LOOKS}", seconds=30
                )
                return program.output.split(END)[LOOKS - 1].rpartition(HOME)[2].splitlines()
        finally:
            running.kill()


def picture(lines: list[str]) -> str:
    """Return the picture of a screen, as SVG."""
    shown = [plain(line) for line in lines]
    frame, height = window("multicast top", shown, 0)
    drawn = [element for element in frame if 'class="text"' not in element]
    for number, line in enumerate(lines):
        if shown[number]:
            length = f'textLength="{CHARACTER * len(shown[number]):.1f}" lengthAdjust="spacingAndGlyphs"'
            drawn.append(f'<text class="text" x="14" y="{50 + LINE * number}" {length}>{_spans(line)}</text>')
    return document("The live screen of multicast top", shown, drawn, height + 1)


def _spans(line: str) -> str:
    """Return the parts of a line with their colors."""
    spans: list[str] = []
    attributes = ""
    for codes, text in re.findall(
        r"(?:\x1b\[([0-9;]*)m)?([^\x1b]*)", re.sub(r"\x1b\[[0-9?;]*[A-Zln]", "", line)
    ):
        if codes:
            numbers = {int(code or 0) for code in codes.split(";")}
            color = next((COLORS[number] for number in numbers if number in COLORS), None)
            attributes = (f' fill="{color}"' if color else "") + (
                ' font-weight="bold"' if 1 in numbers else ""
            )
        if text:
            spans.append(f"<tspan{attributes}>{escape(text)}</tspan>" if attributes else escape(text))
    return "".join(spans)


if __name__ == "__main__":
    if sys.argv[1:] == ["--send"]:
        send()
    sys.exit(draw("Draw the live screen of multicast top.", PICTURE, lambda: picture(screen())))
