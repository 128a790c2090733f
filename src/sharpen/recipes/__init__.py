"""Recipes: one file per published method, found by file name."""
