"""The subscriber's side."""
