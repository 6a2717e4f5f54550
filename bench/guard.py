"""The check that keeps a flood of datagrams from a real network: is this a private network namespace?

`scripts/dev/netns.sh` creates the namespace and writes its id to `MULTICAST_NETNS`.
"""

import os
from pathlib import Path


def require_private_namespace() -> None:
    """Return if this process is in a namespace that `scripts/dev/netns.sh` created.

    An ordinary shell may have inherited the variable, so its value must be the id of the current namespace.

    Raises:
        SystemExit: This is another namespace; the message says how to run the benchmark.
    """
    promised = os.environ.get("MULTICAST_NETNS")
    link = Path("/proc/self/ns/net")
    if promised is None or not link.is_symlink() or promised != str(link.readlink()):
        raise SystemExit(
            "bench floods its network with datagrams, so it runs only in a private network: "
            "bash scripts/dev/netns.sh python -m bench"
        )
