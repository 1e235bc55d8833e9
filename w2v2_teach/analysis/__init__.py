"""Measurements of what a model has learned. Nothing here draws."""
