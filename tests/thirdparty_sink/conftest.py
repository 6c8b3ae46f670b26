"""The tests of a distribution of its own; tests/once/test_thirdparty.py installs it and runs them."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("publisher_ntfy") else ["test_*.py"]
