"""``multicast completion``: print what a shell needs to complete commands and options."""

from __future__ import annotations

import errno
from importlib import import_module

from ...exceptions import UnsupportedError
from .. import parser as grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..output import Output

HAS_RECORDS = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``completion``."""
    parser.epilog = "It needs the extra 'cli': pip install 'multicast[cli]'."
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish", "tcsh"), help="print the script for this shell"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the completion.

    Raises:
        UnsupportedError: The package shtab is not installed.
    """
    try:
        shtab = import_module("shtab")
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            errno.EOPNOTSUPP,
            "cannot write the completion: the package shtab is missing (pip install 'multicast[cli]')",
        ) from error
    out.line(shtab.complete(grammar.complete_parser(), shell=args.shell))
    return 0
