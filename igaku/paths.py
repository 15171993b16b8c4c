"""Where the workbook's folders are, whatever directory a kernel was started in."""

import os
from contextlib import suppress
from importlib import metadata
from pathlib import Path

MARK = Path("notebooks", "run.ipynb")  # what makes a folder a workbook
SHARED = "share/igaku"  # where an installed package keeps its copies of one


def root_folder(package: Path) -> Path | None:
    """The workbook around the current folder, else the checkout that holds the package.

    papermill starts a kernel in its own working directory and JupyterLab in the
    notebook's folder, so a relative path would mean two things. None: neither is there.
    """
    around: list[Path] = []
    with suppress(OSError):  # of a current folder that was deleted
        around = [Path.cwd(), *Path.cwd().parents]
    found = [folder for folder in around if is_workbook(folder)]
    whole = [folder for folder in found if (folder / "params").is_dir()]
    checkout = [package.parent] if is_workbook(package.parent) else []
    return next(iter([*whole, *checkout, *found]), None)


def is_workbook(folder: Path) -> bool:
    """Whether a folder is one that `igaku new` makes, or a checkout."""
    return (folder / MARK).is_file()


def installed() -> Path | None:
    """The copies of notebooks and params that an installed package brought along."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("igaku") or ():
            if file.as_posix().endswith(f"{SHARED}/{MARK.as_posix()}"):
                return Path(str(file.locate())).resolve().parents[1]
    return None


def outputs_folder(outputs_dir: str | Path | None = None) -> Path:
    """The folder of the runs: `outputs/`, or one told, from here or from the root."""
    path = OUTPUTS if outputs_dir is None else Path(outputs_dir).expanduser()
    return path if path.is_absolute() or path.is_dir() else ROOT / path


def cache_dir() -> Path:
    """The folder that keeps downloads: `IGAKU_CACHE`, else the platform's cache."""
    if chosen := os.environ.get("IGAKU_CACHE"):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("igaku"))


PACKAGE = Path(__file__).resolve().parent
WORKBOOK = root_folder(PACKAGE)
# Outside any workbook, runs are written where one is, by the copies of the package.
ROOT = WORKBOOK or Path().absolute()
READ = WORKBOOK or installed() or ROOT
PARAMS, NOTEBOOKS = READ / "params", READ / "notebooks"
OUTPUTS = ROOT / "outputs"
