"""Check the types of the documentation's Python blocks: ``python -m scripts.docs.check_types``.

mypy and pyright run in their strict modes on a copy of each block. The FAQ is left out: its examples stay as they were
published. So are blocks with the option ``untyped``, whose third-party imports have no types or wrong ones.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.markdown import documents, runnable_blocks
from tests.support.private_network import ROOT


def copy_blocks(folder: Path) -> list[Path]:
    """Write each Python block to a file of its own, named after its page and line; return the files."""
    files: list[Path] = []
    for page in documents():
        if page.name == "faq.md":
            continue
        name = "_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_").replace(".", "_")
        for block in runnable_blocks(page):
            if block.language == "python" and "untyped" not in block.options:
                file = folder / f"{name}_line_{block.line}.py"
                # The comment takes the line of the opening fence.
                file.write_text(f"# pyright: strict\n{block.code}", encoding="utf-8")
                files.append(file)
    return files


def main() -> int:
    """Check all blocks; return the exit code."""
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        files = [os.fspath(file) for file in copy_blocks(Path(folder))]
        commands: list[list[str | Path]] = [
            [tools / "mypy", "--strict", "--no-error-summary", "--config-file=", *files],
            [tools / "pyright", "--pythonpath", sys.executable, *files],
        ]
        codes = [subprocess.run(command, cwd=folder, check=False).returncode for command in commands]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
