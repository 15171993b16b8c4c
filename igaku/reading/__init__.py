"""A reply's text, its letters or digits, and the outcome."""
