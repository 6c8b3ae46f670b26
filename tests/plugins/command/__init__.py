"""Tests of the command sink."""
