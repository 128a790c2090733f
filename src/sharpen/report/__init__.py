"""Results: committed summaries, tables and pictures."""
