"""Benchmarks: whole chains in their own processes, compared with bare ones in turn, on one nats-server."""
