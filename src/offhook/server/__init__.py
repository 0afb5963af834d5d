"""The answering side: one process, many sessions."""
