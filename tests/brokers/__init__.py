"""The checks of the `mqtt` sink on every broker that can be installed: `make test-brokers` writes their table."""
