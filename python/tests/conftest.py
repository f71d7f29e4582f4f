"""Programs that the tests start get Ctrl-C, also where the tests run in the background of a shell,
which has its children ignore it."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
