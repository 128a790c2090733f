"""The live page: a server on loopback that shows runs from their journals, and stops or resumes them."""
