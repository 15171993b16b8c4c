"""A package that is not here, on the path of what the suite starts.

jsonschema does without it. Where it is, it makes grammars of internationalized
addresses, of which igaku has none: more than a second in each process.
"""

raise ImportError("kept out of what the suite starts: see this file")
