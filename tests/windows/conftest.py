"""On Linux the tests of `inside/` are not collected: `test_under_wine.py` has them run by Windows Python."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.platform == "win32" else ["inside"]
