"""Read the routes of a relay from a TOML file."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, cast

from .bridge import Route, places_of

_FIELDS = {"from": "source", "to": "to", "ttl": "ttl", "link_scope": "link_scope", "buffer": "buffer"}
_TYPES = {"from": (str,), "to": (str, list), "ttl": (int,), "link_scope": (bool,), "buffer": (int,)}


def read_config(path: str | os.PathLike[str]) -> tuple[list[Route], dict[str, Any]]:
    """Read a file with a table ``[[relay]]`` for each route, and optionally a table ``[nats]``.

    Args:
        path: The file.

    Returns:
        The routes, and the options for ``nats.connect``.

    Raises:
        ValueError: The file is not TOML, or an entry is invalid; the
            message names it.
        OSError: The file cannot be read.
        ImportError: Python 3.10 needs the package tomli.
    """
    toml = _toml()
    try:
        tables = toml.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OSError(error.errno, f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    unknown = tables.keys() - {"relay", "nats"}
    if unknown:
        raise ValueError(f"cannot read {path}: unknown table {min(unknown)!r} (known are relay and nats)")
    entries, nats = tables.get("relay", []), tables.get("nats", {})
    if not isinstance(entries, list) or not isinstance(nats, dict) or not entries:
        raise ValueError(f"cannot read {path}: it needs a table [[relay]] for each route")
    routes = [_route(entry, path, number) for number, entry in enumerate(cast("list[object]", entries), 1)]
    return routes, cast("dict[str, Any]", nats)


def _toml() -> Any:
    try:
        return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError as error:
        raise ImportError(
            "cannot read the file of a relay: the package tomli is missing (pip install 'multicast[relay]')"
        ) from error


def _route(entry: object, path: str | os.PathLike[str], number: int) -> Route:
    where = f"cannot read {path}: relay {number}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is not a table")  # noqa: TRY004 - it is the file that is wrong
    fields: dict[str, Any] = {}
    for name, value in cast("dict[str, object]", entry).items():
        if name not in _FIELDS:
            raise ValueError(f"{where} has unknown entry {name!r} (known are {', '.join(_FIELDS)})")
        fields[_FIELDS[name]] = value
    for name, kinds in _TYPES.items():
        value = fields.get(_FIELDS[name])
        if value is not None and type(value) not in kinds:
            raise ValueError(f"{where} has a wrong value for {name!r}: {value!r}")
    to = fields.get("to")
    several = [to] if isinstance(to, str) else cast("list[object]", to or [])
    if "source" not in fields or not all(isinstance(one, str) for one in several) or not several:
        raise ValueError(f"{where} needs 'from' and 'to'")
    fields["to"] = tuple(several)
    route = Route(**fields)
    try:
        places_of(route)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return route
