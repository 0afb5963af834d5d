"""Where connections arrive."""
