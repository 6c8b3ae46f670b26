"""The tests here are those of a distribution of its own: tests/test_thirdparty.py runs them where it is installed."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("publisher_ntfy") else ["test_*.py"]
