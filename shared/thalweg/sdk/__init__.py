"""The author's surface: declare components; see `thalweg` for the names to import."""
