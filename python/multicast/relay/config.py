"""Read the routes of a relay from a TOML file."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from pathlib import Path
from typing import Any, cast

from .bridge import Route

_FIELDS = {"from": "source", "to": "to", "ttl": "ttl", "link_scope": "link_scope", "buffer": "buffer"}
_TYPES = {"source": str, "ttl": int, "link_scope": bool, "buffer": int}


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
    text = Path(path).read_text(encoding="utf-8")
    try:
        tables = toml.loads(text)
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
        raise ImportError("a relay's file needs tomli: pip install 'multicast[relay]'") from error


def _route(entry: object, path: str | os.PathLike[str], number: int) -> Route:
    where = f"cannot read {path}: relay {number}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is not a table")  # noqa: TRY004 - it is the file that is wrong
    fields: dict[str, Any] = {}
    for name, value in cast("dict[str, object]", entry).items():
        if name not in _FIELDS:
            raise ValueError(f"{where} has unknown entry {name!r} (known are {', '.join(_FIELDS)})")
        fields[_FIELDS[name]] = value
    to = fields.get("to")
    fields["to"] = (to,) if isinstance(to, str) else tuple(cast("list[object]", to or ()))
    for name, kind in _TYPES.items():
        if name in fields and type(fields[name]) is not kind:
            raise ValueError(f"{where} has a wrong value for {name!r}: {fields[name]!r}")
    if "source" not in fields or not all(isinstance(one, str) for one in fields["to"]) or not fields["to"]:
        raise ValueError(f"{where} needs 'from' and 'to'")
    known = {one.name for one in dataclasses.fields(Route)}
    return Route(**{name: value for name, value in fields.items() if name in known})
