"""The loop and its records; imports neither torch nor any method."""
