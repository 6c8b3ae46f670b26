"""Tests of the terminal sink."""
