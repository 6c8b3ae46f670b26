"""The durable log of events, rows, LUIDs and positions, and the requests of the command line."""
