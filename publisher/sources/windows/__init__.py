"""Windows: a source over iphlpapi.dll."""
