"""Runs as frames: what they hold, and what their comparison supports."""
