"""Pure rules: text and bytes in, events out. No I/O, no clock, no framework."""
