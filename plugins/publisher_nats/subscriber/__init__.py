"""The transport of `publisher.subscribe` over NATS JetStream."""
