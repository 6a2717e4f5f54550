"""``multicast interfaces``: list the network interfaces and say which of them can be used for multicast."""

from __future__ import annotations

from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ...apps import interfaces as app
    from ..output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``interfaces``."""
    parser.epilog = (
        "The exit code is 0 if at least one of the interfaces can be used for multicast, and 1 if none can. "
        "A star marks the default interface for groups."
    )
    parser.add_argument("names", nargs="*", metavar="INTERFACE", help="show these only (default: all)")


def run(args: argparse.Namespace, out: Output) -> int:
    """List the interfaces; return 0 if at least one is usable and 1 otherwise."""
    from ...apps.interfaces import survey  # noqa: PLC0415 - see the top of the package

    found = survey(args.names)
    usable = sum(one.unusable_reason is None for one in found)
    if out.json:
        for one in found:
            out.record("interface", _record(one))
        out.record("summary", {"interfaces": len(found), "usable": usable})
    elif out.quiet:
        for one in found:
            out.line(one.name)
    elif out.is_terminal:
        out.table(*_table(found, verbose=out.verbose))
    else:
        for one in found:
            out.line("\t".join(_fields(one, verbose=out.verbose)))
    if not out.json:
        _remark(found, usable, out)
    return 0 if usable else 1


def _record(one: app.InterfaceReport) -> dict[str, object]:
    return {
        "name": one.name,
        "index": one.index,
        "addresses": list(one.addresses),
        "mtu": one.mtu,
        "up": one.is_up,
        "multicast": one.is_multicast,
        "loopback": one.is_loopback,
        "usable": one.unusable_reason is None,
        "unusable_reason": one.unusable_reason,
        "limitation": one.limitation,
        "groups": None if one.groups is None else list(one.groups),
        "default_for": list(one.default_for),
        "igmp_version": one.igmp_version,
        "mld_version": one.mld_version,
        "mld_queries": one.mld_queries,
    }


def _table(found: list[app.InterfaceReport], *, verbose: bool) -> tuple[list[str], list[list[list[str]]]]:
    """Return the head of the table, and for each interface the lines of each cell."""
    head = ["INTERFACE", "STATE", "MTU", "MULTICAST", "ADDRESSES", "GROUPS"]
    if verbose:
        head += ["INDEX", "IGMP", "MLD", "MLD QUERIES"]
    rows: list[list[list[str]]] = []
    for one in found:
        cells = [
            [one.name + (" *" if one.default_for else "")],
            [_state(one)],
            [_or_dash(one.mtu)],
            ["yes" if one.unusable_reason is None else "no"],
            list(one.addresses),
            ["unknown"] if one.groups is None else list(one.groups),
        ]
        if verbose:
            cells += [
                [str(one.index)],
                [_version(one.igmp_version)],
                [_version(one.mld_version)],
                [_or_dash(one.mld_queries)],
            ]
        rows.append(cells)
    return head, rows


def _fields(one: app.InterfaceReport, *, verbose: bool) -> list[str]:
    """Return one interface as the fields of a line: the columns of the table, lists separated by commas."""
    fields = [
        one.name,
        _state(one),
        _or_dash(one.mtu),
        "yes" if one.unusable_reason is None else "no",
        ",".join(one.addresses) or "-",
        "-" if not one.groups else ",".join(one.groups),
    ]
    if verbose:
        fields += [
            str(one.index),
            _version(one.igmp_version),
            _version(one.mld_version),
            _or_dash(one.mld_queries),
        ]
    return fields


def _remark(found: list[app.InterfaceReport], usable: int, out: Output) -> None:
    for one in found:
        if one.default_for:
            out.remark(f"{one.name} is the default interface for {' and '.join(one.default_for)} groups")
    for one in found:
        if one.unusable_reason is not None:
            out.remark(f"{one.name} cannot be used: {one.unusable_reason}")
        elif one.limitation is not None:
            out.remark(f"{one.name} is limited: {one.limitation}")
    out.remark(f"{number(len(found), 'interface')}, {usable} usable for multicast")


def _state(one: app.InterfaceReport) -> str:
    return "up" if one.is_up else "down"


def _version(number: int | None) -> str:
    return "-" if number is None else f"v{number}"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
