"""Where the workbook's folders are, whatever directory a kernel was started in."""

import os
from pathlib import Path


def root_folder(package: Path) -> Path:
    """The checkout that holds the package beside `params/`, else the current folder.

    papermill starts a kernel in its own working directory and JupyterLab in the
    notebook's folder, so a relative path would mean two things.
    """
    checkout = package.parent
    return checkout if (checkout / "params").is_dir() else Path.cwd()


def cache_dir() -> Path:
    """The folder that keeps downloads: `IGAKU_CACHE`, else the platform's cache."""
    if chosen := os.environ.get("IGAKU_CACHE"):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("igaku"))


PACKAGE = Path(__file__).resolve().parent
ROOT = root_folder(PACKAGE)
PARAMS = ROOT / "params"
NOTEBOOKS = ROOT / "notebooks"
OUTPUTS = ROOT / "outputs"
