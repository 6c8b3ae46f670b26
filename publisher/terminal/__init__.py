"""Lines, colours and live tables for people at a terminal."""
