"""One sitting of an exam, and the files it leaves."""
