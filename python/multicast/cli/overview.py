"""The overview that ``multicast`` prints if no command is given."""

from __future__ import annotations

from ..apps.interfaces import survey
from .errors import UsageError
from .output import print_line_to_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_EXAMPLES = """\
examples:
  multicast listen 239.1.2.3:5000          print what arrives for a group
  multicast send 239.1.2.3:5000 hello      send a datagram to a group
  multicast doctor 239.1.2.3:5000          find out why nothing arrives
  multicast interfaces                     list the interfaces in detail
"""


def print_overview(usage: str) -> NoReturn:
    """Print ``usage`` and the overview on standard error: examples, and the interfaces of this machine.

    Raises:
        UsageError: Always, because a command is missing. argparse does the same.
        OSError: The system cannot list the interfaces.
    """
    found = survey()
    width = max((len(one.name) for one in found), default=0)
    lines = [
        f"  {one.name:{width}}  {'up' if one.is_up else 'down':4}  {' '.join(one.addresses)}".rstrip()
        for one in found
    ]
    overview = [
        usage,
        "Send and receive UDP multicast.\n",
        _EXAMPLES,
        "interfaces of this machine:",
        *(lines or ["  none"]),
        "\nRun 'multicast help' for all commands.",
        "multicast: error: the following arguments are required: CMD (see 'multicast --help')",
    ]
    print_line_to_stderr("\n".join(overview))
    raise UsageError
