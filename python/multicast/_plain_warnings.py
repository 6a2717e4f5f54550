"""The form of warnings about ``MULTICAST_*`` variables: the same as that of the command line's own warnings.

The variables are read while the package is imported, before the command line runs. If the process is the command
line, the package imports this module before it reads them. The 2.x commands print Python's form of a warning, as
published; Python's filters (``-W``, ``PYTHONWARNINGS``) apply to both forms.
"""

from __future__ import annotations

import sys
import warnings

_TOOLS = ("SAY", "RECV", "HEAR", "NOOP")


def _format(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return a warning as one line if it is about the user's settings, otherwise as Python writes it."""
    if category is UserWarning:
        return f"multicast: warning: {message}\n"
    return _python_format(message, category, filename, lineno, line)


_python_format = warnings.formatwarning
if next((word for word in sys.argv[1:] if not word.startswith("-")), None) not in _TOOLS:
    warnings.formatwarning = _format
