"""Verifiers: one module each, found by file name."""
