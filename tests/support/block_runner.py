"""Run a script that starts a process ``p``: ``python -m tests.support.block_runner spawn FILE``.

A script pasted from the documentation has no ``if __name__ == "__main__":``, which the start methods "spawn" and
"forkserver" need, so it runs under that of this module. This program waits for the process and returns its exit
code. If the script sets ``didWork``, it prints ``DIDWORK`` and that value.
"""

import multiprocessing
import sys
from pathlib import Path
from typing import Any


def main(method: str, script: str) -> int:
    multiprocessing.set_start_method(method)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(Path(script).read_text(encoding="utf-8"), script, "exec"), names)
    process = names["p"]
    process.join()
    if "didWork" in names:
        print("DIDWORK", names["didWork"])
    return int(process.exitcode)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
