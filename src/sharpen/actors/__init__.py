"""Ways of acting: one file each, found by the name that a policy gives."""
