"""IgakuQA's files: found in a folder or the cache, or fetched, and checked.

IgakuQA (github.com/jungokasai/IgakuQA) states no licence, so its files are never part
of igaku: they are fetched from one pinned commit. `igakuqa.sha256` holds the hashes of
2018, 2022 and the worked examples. Those of 2019–2021 are not known beforehand: their
first download is checked for its shape only, its hashes are then kept in the cache, and
every later load of those years is held against them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from igaku import writing
from igaku.errors import IgakuError
from igaku.paths import cache_dir

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

COMMIT = "2bc4c3d159cf5505f6253d24a909fbd53237e239"
URL = f"https://raw.githubusercontent.com/jungokasai/IgakuQA/{COMMIT}/"
EXAMS = {2018: 112, 2019: 113, 2020: 114, 2021: 115, 2022: 116}
RELEASED = Path(__file__).with_name("igakuqa.sha256")
SECTIONS = "ABCDEF"
SIZES = dict(zip(SECTIONS, (75, 50, 75, 75, 50, 75), strict=True))
EARLY_SIZES = dict(zip(SECTIONS, (75, 49, 66, 75, 51, 84), strict=True))  # 112, 113

# What a file must hold in every row, by the end of its name.
KEYS = {
    "": ("problem_id", "problem_text", "choices", "answer"),
    "_metadata": ("problem_id",),
    "_translate": ("problem_id", "problem_text_en", "choices_en"),
}
FIX = f"put the file of IgakuQA commit {COMMIT[:7]} in its place"


def exam_year(year: int | str) -> int:
    """The year as a number; papermill and YAML may bring it as text."""
    year = by_number(year)
    if str(year) not in map(str, EXAMS):
        raise IgakuError(
            f"There is no exam of {year!r}: give one of "
            f"{', '.join(map(str, EXAMS))}, or 'calibration'."
        )
    return int(year)


def by_number(exam: int | str) -> int | str:
    """An exam told by its number, as physicians call it, by its year; else as it is.

    >>> by_number("116"), by_number(2018), by_number("calibration")
    (2022, 2018, 'calibration')
    """
    years = {str(number): year for year, number in EXAMS.items()}
    return years.get(str(exam), exam)


def exams() -> pd.DataFrame:
    """One row per exam: `exam` as parameters name it, `number`, `questions`, `where`.

    `where`: the folder that holds all of its files; missing where it would be fetched.
    The generated exam is part of igaku and has no number.
    """
    import pandas as pd

    folder = kept_folder()
    rows = [
        {"exam": str(year), "number": number, "questions": sum(sizes(year).values()),
         "where": str(folder) if _is_kept(folder, year) else None}
        for year, number in EXAMS.items()
    ]  # fmt: skip
    rows.append({"exam": "calibration", "questions": 400, "where": "generated"})
    return pd.DataFrame(rows).astype({"number": "Int64", "questions": "Int64"})


def _is_kept(folder: Path, year: int) -> bool:
    try:
        return all(released_file(folder, name) for name in year_files(year))
    except IgakuError:
        return False


def section_file(year: int, section: str, kind: str = "") -> str:
    """A section's file in IgakuQA; `kind` is "", "_metadata" or "_translate"."""
    return f"data/{year}/{EXAMS[year]}-{section}{kind}.jsonl"


def examples_file(language: str = "ja") -> str:
    """The name of the file of worked examples, which serve every year."""
    kind = "_translate" if language == "en" else ""
    return f"scripts/prompts/prompt{kind}.jsonl"


def year_files(year: int) -> list[str]:
    """The names of all files that one year needs, in both languages."""
    sections = [section_file(year, s, kind) for s in SECTIONS for kind in KEYS]
    return [*sections, examples_file("ja"), examples_file("en")]


def exam_folder(year: int, data_dir: str | Path | None = None) -> Path:
    """The folder with the year's files: `data_dir`, `IGAKU_DATA`, or the cache."""
    given = data_dir or os.environ.get("IGAKU_DATA")
    if not given:
        return fetch_exam(year)
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise IgakuError(
            f"The data folder {folder} does not exist: correct data_dir or IGAKU_DATA, "
            "or leave both unset to have the exam fetched."
        )
    return folder


def kept_folder(data_dir: str | Path | None = None) -> Path:
    """The folder of exam files that are here already: nothing is fetched into it."""
    given = [data_dir, os.environ.get("IGAKU_DATA")]
    folders = [Path(place).expanduser() for place in given if place]
    return next((place for place in folders if place.is_dir()), _cache())


def released_file(folder: Path, name: str) -> Path:
    """A file of IgakuQA in `folder`, which is a clone of it or keeps its sections.

    `data/2022/116-A.jsonl` may lie in `2022/`, `scripts/prompts/` in `prompts/`.
    """
    short = name.partition("/")[2]
    for path in (folder / name, folder / short, folder.parent / name):
        if path.is_file():
            return path
    raise IgakuError(
        f"{folder / name} is missing: {FIX}, or leave data_dir and IGAKU_DATA unset to "
        "have the exam fetched."
    )


def read_section(folder: Path, year: int, section: str, kind: str = "") -> list[Row]:
    """The rows of one section's file, after every check that a whole file passes."""
    name = section_file(year, section, kind)
    path = released_file(folder, name)
    rows = _rows(path, KEYS[kind])
    found, expected = [str(row["problem_id"]) for row in rows], _ids(year, section)
    if len(found) != len(expected):
        raise IgakuError(
            f"{path} has {len(found)} rows where the exam has {len(expected)} "
            f"questions: {FIX}."
        )
    if kind:  # questions are in order; other rows join by id, in any order
        found, expected = sorted(found), sorted(expected)
    for here, belongs in zip(found, expected, strict=True):
        if here != belongs:
            raise IgakuError(f"{path} has {here} where {belongs} belongs: {FIX}.")
    _check_hash(path, known_hashes(year).get(name))
    return rows


def read_examples(folder: Path, language: str = "ja") -> list[Row]:
    """The rows of the worked examples."""
    name = examples_file(language)
    path = released_file(folder, name)
    rows = _rows(path, KEYS[""])
    _check_hash(path, _hash_table(RELEASED).get(name))
    return rows


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_hashes(year: int) -> dict[str, str]:
    """The sha256 of each released file, as far as shipped or seen at first download."""
    return _hash_table(_cache() / f"{year}.sha256") | _hash_table(RELEASED)


def fetch_exam(year: int) -> Path:
    """The cached folder of one year's files; what is missing or altered is fetched.

    Nothing enters the cache before the whole download has passed its checks.
    `IGAKU_DATA_URL` stands in for GitHub: a mirror within a hospital.
    """
    year = exam_year(year)
    known, folder, names = known_hashes(year), _cache(), year_files(year)
    lacking = [
        name
        for name in names
        if not (folder / name).is_file()
        or file_sha256(folder / name) != known.get(name)
    ]
    if not lacking:
        return folder
    is_first = any(name not in known for name in lacking)
    names = names if is_first else lacking
    with (
        writing.guarded(folder),
        TemporaryDirectory(dir=writing.folder(folder), prefix="download-") as name,
    ):
        fresh = Path(name)
        _download(year, names, known, fresh)
        if is_first:
            for section, kind in product(SECTIONS, KEYS):  # no hash is known yet
                read_section(fresh, year, section, kind)
            table = "".join(f"{file_sha256(fresh / n)}  {n}\n" for n in names)
            (fresh / f"{year}.sha256").write_text(table, encoding="utf-8")
            names = [*names, f"{year}.sha256"]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).replace(folder / name)
    return folder


def _cache() -> Path:
    return cache_dir() / "igakuqa" / COMMIT[:7]


def _hash_table(path: Path) -> dict[str, str]:
    """File name → sha256, from a file that `sha256sum --check` reads too."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def _download(year: int, names: list[str], known: dict[str, str], fresh: Path) -> None:
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel("WARNING")
    store = pooch.create(
        path=fresh,
        base_url=(os.environ.get("IGAKU_DATA_URL") or URL).rstrip("/") + "/",
        registry={name: known.get(name) for name in names},
        retry_if_failed=1,
    )
    bar = tqdm(names, desc=f"IgakuQA {year}", unit="file", file=sys.stdout)
    for name in bar:
        try:
            store.fetch(name, downloader=pooch.HTTPDownloader(timeout=30))
        except ValueError as altered:
            bar.close()
            raise IgakuError(
                f"{store.get_url(name)} is not the released file (its sha256 differs): "
                "fetch it over another network, or set data_dir or IGAKU_DATA to a "
                "folder with IgakuQA's files."
            ) from altered
        except OSError as broken:
            bar.close()
            if broken.errno in writing.FULL:
                raise
            raise IgakuError(
                f"{store.get_url(name)} could not be fetched ({type(broken).__name__}):"
                " connect to the network and try again, or set data_dir or IGAKU_DATA "
                "to a folder with IgakuQA's files, or sit the calibration exam (exam: "
                "calibration), which needs neither."
            ) from broken


def sizes(year: int) -> dict[str, int]:
    """How many questions each section of a year's exam has."""
    return EARLY_SIZES if year in (2018, 2019) else SIZES


def _ids(year: int, section: str) -> list[str]:
    places = range(1, sizes(year)[section] + 1)
    return [f"{EXAMS[year]}{section}{place}" for place in places]


def _rows(path: Path, keys: tuple[str, ...]) -> list[Row]:
    """The objects of a JSON Lines file, each with the keys it must have."""
    try:
        # not splitlines: a question may hold the rarer line ends of Unicode
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as broken:
        raise IgakuError(f"{path} is not UTF-8 text: {FIX}.") from broken
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise IgakuError(f"Line {number} of {path} is cut or damaged: {FIX}.")
        if absent := ", ".join(key for key in keys if key not in row):
            raise IgakuError(f"Line {number} of {path} lacks {absent}: {FIX}.")
        rows.append(row)
    return rows


def _check_hash(path: Path, digest: str | None) -> None:
    if digest is not None and file_sha256(path) != digest:
        raise IgakuError(
            f"{path} differs from the released file (its sha256 is another): {FIX}."
        )
