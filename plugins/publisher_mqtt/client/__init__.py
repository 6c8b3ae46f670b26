"""The MQTT client: connection, in-flight window, read-back, errors."""
