"""What policies keep beside weights: memory as versioned, immutable values."""
