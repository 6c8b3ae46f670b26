"""The interfaces that a page shows: those of this host, or those of a fleet."""
