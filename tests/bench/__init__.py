"""What a session costs: `python -m tests.bench` prints a table and writes JSON."""
