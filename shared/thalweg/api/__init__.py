"""The coordinator's API as both sides see it: every call by name, with the models of its request and its reply."""
