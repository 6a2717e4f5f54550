"""Test that a module imports only from layers below its own. An import inside a function counts too."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "multicast"

# The lowest layer first. The picture is in docs/architecture.md. The lowest layer imports the standard library only.
# A package's own ``__init__`` goes by the name of the package; "" is the top-level one.
LAYERS = [
    {
        "_common",
        "_legacy",
        "apps",
        "cli",
        "exceptions",
        "types",
        "endpoints",
        "env",
        "_closing",
        "_interrupts",
        "_plain_warnings",
    },
    {
        "_core",
        "_common.text",
        "_common.splitter",
        "_common.console",
        "_common.constants",
        "_common.argument_types",
    },
    {
        "_arguments",
        "handlers",
        "_legacy.replies",
        "_legacy.service",
        "_legacy.drops",
        "_legacy.tool",
        "aio.closing",
        "aio.select_thread",
    },
    {"_small_buffer", "sending"},
    {"sync", "skt", "aio.watch", "watching", "_legacy.join_options", "_legacy.options"},
    {"aio.readiness"},
    {"aio.endpoint"},
    {"aio.receiver", "aio.transport"},
    {"aio.sender", "aio.protocols", "aio.watching"},
    {"aio", "_legacy.server", "recv", "_legacy.destinations"},
    {"hear", "send", "apps.listening", "apps.numbered", "apps.patterns"},
    {"apps.streams", "apps.sending"},
    {"apps.measuring", "apps.wire"},
    {"relay.envelope", "relay.places"},
    {"relay.memory", "relay.jetstream"},
    {"relay.legs"},
    {"relay.nats_legs"},
    {"relay.bridge"},
    {"relay.config"},
    {"relay"},
    {"capture.recording"},
    {"capture.replaying"},
    {"capture"},
    {"apps.watching"},
    {"apps.groups", "apps.netlink", "apps.diagnosis.finding", "apps.diagnosis.proc"},
    {"apps.routes", "apps.links", "apps.diagnosis.sniffer", "apps.diagnosis.firewall"},
    {"apps.interfaces", "apps.diagnosis.case"},
    {"apps.diagnosis.outages"},
    {"apps.diagnosis.listening"},
    {"apps.diagnosis.evidence"},
    {"apps.diagnosis.sizes"},
    {
        "apps.diagnosis.before",
        "apps.diagnosis.after",
        "apps.diagnosis.overload",
        "apps.diagnosis.settings",
        "apps.diagnosis.peer",
    },
    {"apps.diagnosis.diagnose"},
    {"apps.diagnosis.two_ended"},
    {"apps.diagnosis.serving"},
    {"apps.diagnosis"},
    {"apps.ping.message", "apps.ping.port", "apps.ping.results"},
    {"apps.ping.answer", "apps.ping.client"},
    {"apps.ping"},
    {"_legacy.tasks"},
    {""},
    {"cli.output", "cli.commands", "cli.words"},
    {"cli.errors", "cli.signals", "cli.progress"},
    {"cli.parser"},
    {"cli.options", "cli.receiving", "cli.keyboard", "cli.streams_table"},
    {"cli.terminal", "cli.live_streams"},
    {
        "cli.overview",
        "cli.tool_reports",
        "cli.commands.doctor",
        "cli.commands.interfaces",
        "cli.commands.help",
        "cli.commands.listen",
        "cli.commands.ping",
        "cli.commands.measure",
        "cli.commands.send",
        "cli.commands.record",
        "cli.commands.relay",
        "cli.commands.replay",
        "cli.commands.top",
        "cli.commands.completion",
    },
    {"cli.program"},
    {"_legacy.dispatch"},
    {"__main__"},
]
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
COMPILED = {"_core"}
# Packages of the extras, which a module imports when it needs them.
EXTRAS = {"cli.live_streams": {"rich"}}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_type_checking_block(node: ast.AST) -> bool:
    """Whether ``node`` is an ``if TYPE_CHECKING:``, whose imports never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(source: str, package: str, *, at_run_time: bool = False) -> set[str]:
    """Return the absolute names that ``source``, a module of the subpackage ``package``, imports."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if at_run_time and is_type_checking_block(node):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base: list[str] = []
            if node.level:
                base = ["multicast", *filter(None, package.split("."))]
                base = base[: len(base) - node.level + 1]
            head = ".".join([*base, *filter(None, [node.module])])
            found |= {f"{head}.{alias.name}" for alias in node.names}
    return found


def modules_among(names: set[str]) -> set[str]:
    """Return the package's modules that imported ``names`` stand for; a value counts as the module it is in."""
    found: set[str] = set()
    for name in names:
        head, _, rest = name.partition(".")
        if head != "multicast":
            continue
        while rest not in RANKS:
            rest = rest.rpartition(".")[0]
        found.add(rest)
    return found


def imports_of(name: str, *, at_run_time: bool = False) -> set[str]:
    path = PATHS[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return imports(path.read_text(encoding="utf-8"), package, at_run_time=at_run_time)


def upward(name: str, imported: set[str]) -> set[str]:
    """Return the modules among ``imported`` that module ``name`` must not import."""
    return {other for other in modules_among(imported) if RANKS[other] >= RANKS[name]}


def test_layers_cover_every_module() -> None:
    assert PATHS.keys() | COMPILED == RANKS.keys()


@pytest.mark.parametrize("name", PATHS)
def test_module_imports_are_from_lower_layers(name: str) -> None:
    wrong = upward(name, imports_of(name))
    assert not wrong, f"multicast.{name} imports from its own layer or a higher one: {sorted(wrong)}"


@pytest.mark.parametrize("name", PATHS)
def test_module_imports_only_the_standard_library_and_multicast(name: str) -> None:
    allowed = sys.stdlib_module_names | {"multicast"} | EXTRAS.get(name, set())
    foreign = {full for full in imports_of(name, at_run_time=True) if full.partition(".")[0] not in allowed}
    assert not foreign, f"multicast.{name} needs a package from elsewhere: {sorted(foreign)}"


@pytest.mark.parametrize(
    ("name", "line", "wrong"),
    [
        ("sync", "from .cli import parser", {"cli.parser"}),
        ("sync", "def later():\n    from .aio.receiver import Receiver", {"aio.receiver"}),
        ("aio.receiver", "from .. import hear", {"hear"}),
        ("aio.receiver", "from . import sender", {"aio.sender"}),
        ("aio.endpoint", "from .receiver import Receiver", {"aio.receiver"}),
        ("_legacy.tool", "import multicast.recv", {"recv"}),
        ("recv", "from . import Receiver", {""}),
    ],
)
def test_upward_import_is_reported(name: str, line: str, wrong: set[str]) -> None:
    package = name.rpartition(".")[0]
    assert upward(name, imports(line, package)) == wrong


def test_downward_import_is_not_reported() -> None:
    assert (
        upward("aio.receiver", imports("from .. import sync\nfrom .endpoint import AsyncEndpoint", "aio"))
        == set()
    )
