"""The wire contract: subjects, batches, commits, digests, deployment specs; pure functions of bytes and values."""
