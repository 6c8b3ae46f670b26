"""Delivery from the journal to the sinks: one worker a sink."""
