"""The program as a Windows service, under Wine; `make test-once` runs it."""
