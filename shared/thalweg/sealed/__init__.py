"""Secrets at rest, their redaction, and signatures; the only home of cryptography."""
