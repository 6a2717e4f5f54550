"""Run every code block of the README and of docs/ as it is. The FAQ has its own test.

The blocks run on machines whose network hides nothing: an ordinary one, one whose only routes are the default routes
and, if they name 127.0.0.1, one without any route.

Options after the language on the opening fence of a block:

- none: the block runs to its end and succeeds;
- ``pair=NAME``: the blocks with this name in a document run together, in their order. Each block but the last binds a
  UDP socket before the next one starts, and prints something;
- ``endless``: the block of a pair runs until Ctrl-C;
- ``ci``: the block takes too long for a test; ``.ci/run`` calls each of its commands;
- ``untyped``: the types of the block are not checked, because a third-party package has none or wrong ones.
- ``notest``: the block needs a package index or changes or watches the reader's machine, so it cannot run in a test.
  It is one of a few such commands, and its syntax is valid.

A block of text with ``output=NAME`` is the exact output of the first block of that pair. ``test_manifests.py`` reads
the container files.
"""

import contextlib
import re
import signal
import subprocess

import pytest

from tests.support import machines
from tests.support.hosts import Machine
from tests.support.markdown import Block, blocks, documents, runnable_blocks
from tests.support.private_network import ROOT
from tests.support.programs import Program, argv_for, environment

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

FOUND = [block for path in documents() if path.name != "faq.md" for block in runnable_blocks(path)]
BLOCKS = [block for block in FOUND if "notest" not in block.options]
UNTRIED = [block for block in FOUND if "notest" in block.options]
# Commands that cannot run: they need a package index or the reader's own machine.
CANNOT_BE_TRIED = re.compile(
    r"pip install (--upgrade )?'?multicast(\[\w+\])?'?$|sudo sysctl -w |sudo tcpdump |sudo ip -6 route add "
    r"|sudo setcap |sudo multicast top |make bench(-docs)?( |$)"
)
# Blocks that are not run: output, data, diagrams, and the site's own directives.
NOT_CODE = {
    "text",
    "json",
    "yaml",
    "dockerfile",
    "mermaid",
    "{eval-rst}",
    "{toctree}",
    "{include}",
    "{literalinclude}",
}
KNOWN = {"name", "pair", "endless", "ci", "notest", "untyped"}

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


def on_machines(*group: Block) -> list[str]:
    """Return the kinds of machines on which blocks must work: without a route, only if they stay on this machine."""
    is_local = all("127.0.0.1" in block.code and "eth0" not in block.code for block in group)
    return machines.KINDS if is_local else [machines.ORDINARY, machines.DEFAULT_ROUTE]


def start(block: Block, machine: Machine) -> Program:
    # Unbuffered, as at a terminal, where each line appears at once.
    argv = machine.command(*argv_for(block.language, block.code))
    return Program(argv, env=environment(PYTHONUNBUFFERED="1"))


def test_block_options_are_known() -> None:
    assert BLOCKS
    assert {option for block in BLOCKS for option in block.options} <= KNOWN


def test_block_language_is_runnable_or_not_code() -> None:
    languages = {block.language for path in documents() for block in blocks(path)}
    assert languages <= NOT_CODE | {"python", "bash"}


@pytest.mark.parametrize("block", UNTRIED, ids=str)
def test_block_marked_notest_holds_only_commands_that_cannot_run(block: Block) -> None:
    assert block.language == "bash"
    for command in block.code.splitlines():
        assert CANNOT_BE_TRIED.match(command.partition("  #")[0].strip()), command
    subprocess.run(["bash", "-n", "-c", block.code], check=True)


@pytest.mark.parametrize(
    ("block", "machine"),
    [(block, kind) for block in ALONE for kind in on_machines(block)],
    ids=str,
    indirect=["machine"],
)
def test_block_alone_exits_0(block: Block, machine: Machine) -> None:
    with start(block, machine) as program:
        assert program.finish(timeout=50) == 0, program.err


def test_output_block_belongs_to_a_pair() -> None:
    assert OUTPUTS
    assert OUTPUTS.keys() <= PAIRS.keys()


@pytest.mark.parametrize(
    ("name", "machine"),
    [(name, kind) for name, pair in PAIRS.items() for kind in on_machines(*pair)],
    indirect=["machine"],
)
def test_block_pair_runs_together(name: str, machine: Machine) -> None:
    pair = PAIRS[name]
    expected = OUTPUTS.get(name)
    with contextlib.ExitStack() as stack:
        waiting: list[tuple[Block, Program]] = []
        for block in pair[:-1]:
            program = stack.enter_context(start(block, machine))
            program.until_bound()
            waiting.append((block, program))
        last = stack.enter_context(start(pair[-1], machine))
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
        assert not words or words in script, f"{words!r} is promised in {block} and not run by .ci/run"
