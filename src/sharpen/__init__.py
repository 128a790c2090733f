"""Sharpen: models and agents that improve themselves, with proof."""

__version__ = "0.1.0"
