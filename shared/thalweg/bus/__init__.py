"""NATS: connections, the JetStream side of a deployment log, reading every head of it in one request."""
