"""Giving the media away."""
