"""Components through which records enter and leave a running graph."""
