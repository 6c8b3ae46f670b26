"""Random changes and faults beside every kind of reader, for as long as wanted: `make soak`."""
