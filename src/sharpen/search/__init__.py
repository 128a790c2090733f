"""Ways of looking for better candidates."""
