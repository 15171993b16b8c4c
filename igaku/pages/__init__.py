"""What the analysis shows: questions answered in words and tables, one page a topic.

The numbers come from the modules of the same names above; here they are put into
sentences, in Japanese or English, and nothing is counted anew.
"""
