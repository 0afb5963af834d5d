"""The talking side: the template and the workers forked off it."""
