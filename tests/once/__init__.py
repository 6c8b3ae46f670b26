"""Tests that `make test-once` runs: the wheel, a release, the tools of this repository, subscribers side by side."""
