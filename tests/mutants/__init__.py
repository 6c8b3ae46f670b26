"""Mistakes made in the code on purpose, each with the tests that notice it: `make mutants`."""
