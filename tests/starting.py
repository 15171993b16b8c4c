"""Where the processes that the tests start find their packages."""

import os
from pathlib import Path

# This checkout, and what the tests keep out of those processes.
PYTHONPATH = os.pathsep.join(
    map(str, (Path(__file__).parents[1], Path(__file__).parent / "lean"))
)
