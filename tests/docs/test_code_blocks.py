"""Every code block of the README and of docs/ (the FAQ has its own test) is run as it stands.

What stands after the language on a block's opening fence says how:

- nothing: it runs to its end, which has to be a good one;
- ``pair=NAME``: the blocks of that name in a document run together, in their order. Each but the last has to be
  ready (a UDP socket bound) before the next begins, and has to print something;
- ``endless``: the block of a pair that ends by Ctrl-C only;
- ``ci``: too large for a test; each of its commands has to be one that ``.ci/run`` calls;
- ``notest``: it would fetch from a package index, or change or watch the reader's own machine: not to be run. It has to
  be one of a few such commands, and well formed.

A block of text with ``output=NAME`` is what the first block of that pair prints, to the letter. What is in another
language is looked at too: containers' files are read by ``test_manifests.py``.
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
UNTRIED = [block for block in FOUND if "notest" in block.options]
# What cannot be tried: a package index, or the reader's own machine, would be needed.
CANNOT_BE_TRIED = re.compile(
    r"pip install (--upgrade )?multicast$|sudo sysctl -w |sudo tcpdump "
    r"|make bench(-docs)?( |$)"
)
# Of these nothing is run: output, data, diagrams, and the site's own directives.
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
    # Whoever reads along at a terminal sees each line at once; a pipe would get them in one piece at the end.
    return Program(argv_for(block.language, block.code), env=environment(PYTHONUNBUFFERED="1"))


def test_every_option_is_known() -> None:
    assert BLOCKS
    assert {option for block in BLOCKS for option in block.options} <= KNOWN


def test_every_block_is_code_that_is_run_or_no_code() -> None:
    languages = {block.language for path in documents() for block in blocks(path)}
    assert languages <= NOT_CODE | {"python", "bash"}


@pytest.mark.parametrize("block", UNTRIED, ids=str)
def test_what_is_not_run_could_not_be(block: Block) -> None:
    assert block.language == "bash"
    for command in block.code.splitlines():
        assert CANNOT_BE_TRIED.match(command.partition("  #")[0].strip()), command
    subprocess.run(["bash", "-n", "-c", block.code], check=True)


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_block_runs(block: Block) -> None:
    with start(block) as program:
        assert program.finish(timeout=50) == 0, program.err


def test_every_output_is_that_of_a_pair() -> None:
    assert OUTPUTS
    assert OUTPUTS.keys() <= PAIRS.keys()


@pytest.mark.parametrize("name", PAIRS)
def test_blocks_work_together(name: str) -> None:
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


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*/test_*.py"))
    names = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert [name for name in names if name.removesuffix(".py") not in tests] == []
    listed = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    assert [name for name in names if f"[{name}](../examples/{name})" not in listed] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if "ci" in block.options], ids=str)
def test_commands_are_run_by_ci(block: Block) -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in block.code.splitlines():
        words = command.partition("#")[0].strip()
        assert not words or words in script, f"{words!r} is promised in {block} and not run by .ci/run"
