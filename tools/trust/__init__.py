"""Long-form proofs of durability, honest gates and hardy parsers; `make trust` runs them, in pieces."""
