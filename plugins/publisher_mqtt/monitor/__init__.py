"""The live view of every node on a broker."""
