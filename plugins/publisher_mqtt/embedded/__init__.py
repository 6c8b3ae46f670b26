"""The embedded broker of a first run."""
