"""Tests that continuous integration runs once, beside `make test`: the wheel, a release, subscribers side by side."""
