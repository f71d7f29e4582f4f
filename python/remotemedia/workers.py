"""Worker processes, in which nodes run that are heavy, block, or may crash; docs/guide/workers.md.

::

    class Heavy(Node):
        tier = "worker"                       a process of its own
        limits = {"memory_bytes": 1 << 30}

    Pipeline([...], workers=True)             every Python node that does not say otherwise
"""

from ._worker_host import RESTARTS_MAX, WorkerDied
from ._zygote import close, warm

__all__ = ["RESTARTS_MAX", "WorkerDied", "close", "warm"]
