"""For all tests: compiled code is not kept, and the user's own cache is neither read nor written."""

from __future__ import annotations

import os

os.environ["SYMPILE_CACHE"] = "0"  # processes that tests start inherit it; tests of the cache set their own folder
