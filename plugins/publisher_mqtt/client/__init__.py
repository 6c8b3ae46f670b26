"""The MQTT client: session, connection, in-flight window, read-back, errors."""
