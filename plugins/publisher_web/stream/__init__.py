"""Server-Sent Events: the messages that viewers share, and each viewer."""
