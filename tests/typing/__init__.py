"""The public API as its users see it, checked by mypy and run by a test."""
