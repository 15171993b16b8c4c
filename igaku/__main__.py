"""The way into `igaku`: from its first moment on, Ctrl-C ends in a sentence."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; until its modules are there, nothing can have been written."""
    try:
        from igaku.cli import main as run
    except KeyboardInterrupt:
        print("igaku: Stopped before it began.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
