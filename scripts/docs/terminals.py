"""Draw terminals, for pictures of commands that run on the hosts of a private network."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape

GROUP = "239.1.2.3"
# The longest wait for any step, in seconds.
PATIENCE = 15.0

WIDTH, LINE, CHARACTER = 530, 21, 8.43
# The width of a terminal, in characters: the picture is readable on a phone.
COLUMNS = 59
_STYLE = """
    .window { fill: #1c2128; stroke: #444c56; }
    .bar { fill: #2d333b; }
    .title { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #adbac7; text-anchor: middle; }
    .text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #adbac7; white-space: pre; }
    .prompt { fill: #6bc46d; }
    .typed { fill: #ffffff; }
"""


def on(host: str, command: str) -> list[str]:
    """Return the command line that runs ``command`` in a shell on ``host``."""
    return ["ip", "netns", "exec", host, "bash", "-c", command]


def environment() -> dict[str, str]:
    """Return an environment in which ``multicast`` is the command of this interpreter."""
    folders = [os.fspath(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {**os.environ, "PATH": os.pathsep.join(folders)}


def until_joined(host: str) -> None:
    """Wait until a program on ``host`` has joined the group.

    Raises:
        subprocess.SubprocessError: No program joined in time.
    """
    address = "".join(f"{int(byte):02X}" for byte in reversed(GROUP.split(".")))
    look = f"until grep --quiet {address} /proc/net/igmp; do :; done"
    subprocess.run(on(host, look), check=True, timeout=PATIENCE)


def fitted(lines: list[str]) -> list[str]:
    """Return lines as a terminal of `COLUMNS` shows them, but broken between words."""
    return [part for line in lines for part in (wrap(line, COLUMNS) if len(line) > COLUMNS else [line])]


def window(title: str, lines: list[str], top: int) -> tuple[list[str], int]:
    """Return the elements of a terminal window at ``top``, and its height."""
    height = 44 + LINE * len(lines)
    drawn = [
        f'<rect class="window" x="0.5" y="{top}.5" width="{WIDTH - 1}" height="{height}" rx="8"/>',
        f'<path class="bar" d="M1,{top + 26} v-17 a8,8 0 0 1 8,-8 h{WIDTH - 18} a8,8 0 0 1 8,8 v17 z"/>',
        f'<text class="title" x="{WIDTH // 2}" y="{top + 18}">{escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        y = top + 50 + LINE * number
        if line.startswith("$ "):
            inside = f'<tspan class="prompt">$ </tspan><tspan class="typed">{escape(line[2:])}</tspan>'
        else:
            inside = escape(line)
        # The length is fixed, so that another font does not make the line wider than its window.
        length = f'textLength="{CHARACTER * len(line):.1f}" lengthAdjust="spacingAndGlyphs"'
        drawn.append(f'<text class="text" x="14" y="{y}" {length}>{inside}</text>')
    return drawn, height


def document(title: str, lines: list[str], drawn: list[str], height: int) -> str:
    """Return elements as an SVG document of this height, which says what the terminals show."""
    body = "\n  ".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="t d">\n  <title id="t">{title}</title>\n'
        f'  <desc id="d">{escape("; ".join(lines))}</desc>\n'
        f"  <style>{_STYLE}  </style>\n  {body}\n</svg>\n"
    )


def draw(description: str, default: Path, make: Callable[[], str]) -> int:
    """Write the picture that ``make`` returns to the file that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("file", nargs="?", type=Path, default=default, help="the file to write")
    file = parser.parse_args().file
    if int(os.environ.get("MULTICAST_HOSTS", "0")) < 2:
        print("run it with: bash scripts/dev/netns.sh --hosts 2", file=sys.stderr)
        return 1
    file.write_text(make(), encoding="utf-8")
    return 0
