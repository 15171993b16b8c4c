"""Whether a search for counterexamples goes on for as long as it ever did."""

import os

THOROUGH = "IGAKU_THOROUGH" in os.environ
