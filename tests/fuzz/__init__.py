"""Bytes of anybody's making for every edge that takes some: `make fuzz`."""
