"""Keeps server and template alive; the parent of every worker."""
