"""The programs and peers of the benchmarks with nats-servers."""
