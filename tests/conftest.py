"""For all tests: compiled code is not kept, the user's own cache is neither read nor written, and Ctrl-C is heard."""

from __future__ import annotations

import os
import signal

os.environ["SYMPILE_CACHE"] = "0"  # processes that tests start inherit it; tests of the cache set their own folder

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a script starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
