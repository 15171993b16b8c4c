"""Taking recipes apart on the embedded model."""
