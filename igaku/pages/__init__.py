"""What a reader who does not code sees: the document, the index, pages of notebooks.

The numbers are those of the frames; templates put them in order, `text/` into words.
"""
