"""The zygote of worker processes: ``python -m remotemedia.worker FD``, see docs/guide/workers.md.

A program starts it when it first needs a worker. Of itself it does nothing.
"""

import sys

from ._worker import main

if __name__ == "__main__":
    main(sys.argv[1:])
