"""The transport of `publisher.subscribe` over MQTT."""
