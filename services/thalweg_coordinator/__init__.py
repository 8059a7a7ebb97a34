"""The coordinator service: runs stored deployments, restarts their vertices, trims their logs."""
