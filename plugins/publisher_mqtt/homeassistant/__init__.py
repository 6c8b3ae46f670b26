"""Home Assistant's MQTT discovery."""
