"""Self-synthesis: the teacher writes instructions and answers them; filters, duplicates, tags and splits."""
