"""Side-by-side measurements: this package, its peers, and what the machine can do at most."""
