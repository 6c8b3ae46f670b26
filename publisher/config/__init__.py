"""The configuration: its settings, the places it is read from, and messages about mistakes in it."""
