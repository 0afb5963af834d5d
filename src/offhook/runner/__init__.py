"""The import paths that bot authors know; fronts only."""
