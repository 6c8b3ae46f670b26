"""The live table of `publisher watch`: interfaces, keys, layout, and one file for each system's terminal."""
