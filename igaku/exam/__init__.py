"""What is asked, and its gold."""
