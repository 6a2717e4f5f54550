"""The one check between a flood of datagrams and a real network: are we in a namespace of our own?

What is not here: making the namespace. `scripts/dev/netns.sh` does that, and says so in `MULTICAST_NETNS`.
"""

import os
from pathlib import Path


def require_private_namespace() -> None:
    """Return in the namespace that `scripts/dev/netns.sh` made.

    The variable alone proves nothing (it could be inherited), so its value must be the id of the namespace
    that we are in.

    Raises:
        SystemExit: anywhere else, with a sentence that says what to run.
    """
    promised = os.environ.get("MULTICAST_NETNS")
    link = Path("/proc/self/ns/net")
    if promised is None or not link.is_symlink() or promised != str(link.readlink()):
        raise SystemExit(
            "bench floods the network that it runs in, so it runs in a private one only: "
            "scripts/dev/netns.sh python -m bench"
        )
