"""Media in and out, used only in a worker."""
