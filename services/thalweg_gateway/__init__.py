"""The gateway: the HTTP face of a workspace; records go in and come out by URL."""
