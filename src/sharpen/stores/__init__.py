"""What policies keep beside weights: memories, libraries of skills, programs, archives of candidates."""
