"""Measures of a run's health: exploration, exploitation, flows between right and wrong."""
