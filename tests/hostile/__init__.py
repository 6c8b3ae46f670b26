"""One running service with healthy sinks, beside a hostile reader, publisher, webhook server and plugin in turn."""
