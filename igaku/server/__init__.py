"""One HTTP server: what it replies, and what it says it serves."""
