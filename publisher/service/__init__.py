"""The running process: the core's loop, signals, logs, systemd and metrics."""
