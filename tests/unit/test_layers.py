"""A layer imports only downwards, as the sources tell: an import inside a function counts too."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "multicast"

# The lowest layer first; a module may import those of the layers below its own. The picture is in docs/architecture.md.
# The lowest stands beside the stack and so imports the standard library only.
LAYERS = [
    {"exceptions", "types", "endpoints", "env", "_console", "_replies", "_select_thread", "_text"},
    {"_core", "_defaults", "_readiness"},
    {"handlers"},
    {"sync", "skt", "_mtool", "_targets"},
    {"_aio_base"},
    {"aio", "_options"},
    {"_server", "recv", "send"},
    {"hear"},
    {"__init__"},
    {"cli"},
    {"_commands"},
    {"__main__"},
]
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = sorted(module_name(path) for path in PACKAGE.rglob("*.py"))


def for_types_only(node: ast.AST) -> bool:
    """Whether ``node`` is an ``if TYPE_CHECKING:``, whose imports never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported_names(name: str, *, at_run_time: bool = False) -> set[str]:
    """Every absolute name that module ``name`` of the package imports, wherever in the file it does."""
    tree: ast.AST = ast.parse((PACKAGE / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if at_run_time and for_types_only(node):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "multicast" if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            # `from multicast import env` names a module, `from multicast.env import x` a value in one.
            found |= {f"{source}.{alias.name}" for alias in node.names} if source == "multicast" else {source}
    return found


def own_modules(names: set[str]) -> set[str]:
    """The package's modules among imported ``names``; a value in the package counts as ``__init__``."""
    found = set()
    for name in names:
        head, _, rest = name.partition(".")
        if head == "multicast":
            first = rest.partition(".")[0]
            found.add(first if first in RANKS else "__init__")
    return found


def test_every_module_has_a_rank() -> None:
    assert MODULES, "the package has no modules: the paths in this test are wrong"
    assert [name for name in MODULES if name.partition(".")[0] not in RANKS] == []


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_downwards(name: str) -> None:
    rank = RANKS[name.partition(".")[0]]
    upward = {other for other in own_modules(imported_names(name)) if RANKS[other] >= rank}
    assert not upward, f"multicast.{name} imports from its own layer or a higher one: {sorted(upward)}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_but_the_standard_library_is_needed(name: str) -> None:
    allowed = sys.stdlib_module_names | {"multicast"}
    foreign = {
        full for full in imported_names(name, at_run_time=True) if full.partition(".")[0] not in allowed
    }
    assert not foreign, f"multicast.{name} needs a package from elsewhere: {sorted(foreign)}"


def test_an_upward_import_would_be_seen() -> None:
    assert own_modules({"multicast.cli", "multicast.sync.Receiver", "multicast.__version__", "socket"}) == {
        "cli",
        "sync",
        "__init__",
    }
