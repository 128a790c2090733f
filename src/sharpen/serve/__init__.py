"""An improved policy, or any model, as an OpenAI-compatible server."""
