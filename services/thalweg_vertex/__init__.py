"""The vertex service: runs one vertex of one deployment."""
