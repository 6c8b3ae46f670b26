"""The configuration: the settings, their sources and their mistakes."""
