"""Task families: one module each, found by file name."""
