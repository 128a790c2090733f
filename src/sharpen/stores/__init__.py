"""What improvement leaves behind: archives of candidates, programs, memories."""
