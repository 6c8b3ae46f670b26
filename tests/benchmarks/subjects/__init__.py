"""The subjects that are measured, one file each, with a function `measure` that returns or yields results."""
