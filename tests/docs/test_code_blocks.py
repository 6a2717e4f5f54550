"""Run every code block of the README and of docs/ unchanged. (The FAQ has its own test.)

The words after the language on the opening fence of a block control how it runs:

- none: the block runs and must exit with 0;
- ``pair=NAME``: the blocks of that name in a document run together, in order. Each but the last must be ready (it
  has bound a UDP socket) before the next starts, and must print something;
- ``endless``: a block of a pair that runs until Ctrl-C;
- ``ci``: too large for a test; ``.ci/run`` must contain each of its commands;
- ``notest``: it would use a package index, or change or watch the reader's own machine, so it does not run. It must be
  one of a few such commands, and its syntax must be valid.

A text block with ``output=NAME`` is the exact output of the first block of that pair. ``test_manifests.py`` checks the
container files.
"""

import contextlib
import re
import signal
import subprocess

import pytest

from tests.support.markdown import Block, blocks, documents, runnable_blocks
from tests.support.private_network import ROOT
from tests.support.programs import Program, argv_for, environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

FOUND = [block for path in documents() if path.name != "faq.md" for block in runnable_blocks(path)]
BLOCKS = [block for block in FOUND if "notest" not in block.options]
NOT_RUN = [block for block in FOUND if "notest" in block.options]
# Commands that would need a package index or the reader's own machine.
NOT_RUNNABLE = re.compile(
    r"pip install (--upgrade )?multicast$|sudo sysctl -w |sudo tcpdump "
    r"|make bench(-docs)?( |$)"
)
# Languages that are not run: output, data, diagrams, and the directives of the site.
NOT_CODE = {"text", "yaml", "dockerfile", "mermaid", "{eval-rst}", "{toctree}", "{include}"}
KNOWN = {"name", "pair", "endless", "ci", "notest"}

ALONE = [block for block in BLOCKS if not {"pair", "ci"} & block.options.keys()]
PAIRS: dict[str, list[Block]] = {}
for _block in BLOCKS:
    if "pair" in _block.options:
        PAIRS.setdefault(f"{_block.path.name}:{_block.options['pair']}", []).append(_block)
OUTPUTS = {
    f"{block.path.name}:{block.options['output']}": block.code
    for path in documents()
    for block in blocks(path)
    if "output" in block.options
}


def start(block: Block) -> Program:
    # Unbuffered, so that each line can be read as soon as it is printed, as at a terminal.
    return Program(argv_for(block.language, block.code), env=environment(PYTHONUNBUFFERED="1"))


def test_block_options_are_known() -> None:
    assert BLOCKS
    assert {option for block in BLOCKS for option in block.options} <= KNOWN


def test_block_language_is_runnable_or_not_code() -> None:
    languages = {block.language for path in documents() for block in blocks(path)}
    assert languages <= NOT_CODE | {"python", "bash"}


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_block_marked_notest_holds_only_commands_that_cannot_run(block: Block) -> None:
    assert block.language == "bash"
    for command in block.code.splitlines():
        assert NOT_RUNNABLE.match(command.partition("  #")[0].strip()), command
    subprocess.run(["bash", "-n", "-c", block.code], check=True)


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_block_alone_exits_0(block: Block) -> None:
    with start(block) as program:
        assert program.finish(timeout=50) == 0, program.err


def test_output_block_belongs_to_a_pair() -> None:
    assert OUTPUTS
    assert OUTPUTS.keys() <= PAIRS.keys()


@pytest.mark.parametrize("name", PAIRS)
def test_block_pair_runs_together(name: str) -> None:
    pair = PAIRS[name]
    expected = OUTPUTS.get(name)
    with contextlib.ExitStack() as stack:
        waiting = []
        for block in pair[:-1]:
            program = stack.enter_context(start(block))
            program.until_bound()
            waiting.append((block, program))
        last = stack.enter_context(start(pair[-1]))
        assert last.finish() == 0, last.err
        for block, program in waiting:
            if expected is None:
                assert program.line().strip()
            else:
                assert [program.line() for _ in expected.splitlines()] == expected.splitlines(keepends=True)
            if "endless" in block.options:
                program.interrupt()
                assert program.finish(timeout=5) in (0, 130, -signal.SIGINT), program.err
            else:
                assert program.finish() == 0, program.err


def test_example_is_run_by_a_test_and_listed() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*/test_*.py"))
    names = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert [name for name in names if name.removesuffix(".py") not in tests] == []
    listed = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    assert [name for name in names if f"[{name}](../examples/{name})" not in listed] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if "ci" in block.options], ids=str)
def test_block_marked_ci_holds_commands_of_the_ci_script(block: Block) -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in block.code.splitlines():
        words = command.partition("#")[0].strip()
        assert not words or words in script, f"{words!r} is in {block} but not in .ci/run"
