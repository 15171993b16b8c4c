"""A frame drawn on a matplotlib Axes."""
