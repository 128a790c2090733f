"""What policies keep beside weights: libraries of skills, and the ways of finding things in them."""
