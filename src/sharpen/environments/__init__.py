"""Stepwise worlds: one file each, found by the name that a task gives."""
