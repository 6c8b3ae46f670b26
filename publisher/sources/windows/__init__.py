"""The source of Windows, over iphlpapi.dll."""
