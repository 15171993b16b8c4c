"""The recorded runs, imported once for all tests of the study."""

import json

import pytest
from recordings import bring_in
from replies import BUDGET

from igaku.study.runs import load_run


@pytest.fixture(scope="session")
def recorded_folder(tmp_path_factory, shared):
    """A folder with the six recorded variants, one of them at two budgets."""
    return bring_in(tmp_path_factory.mktemp("recorded"), shared)


@pytest.fixture
def run_of(tmp_path):
    def _run(rows, name="base", probe=(), about=None, **settings):
        folder = tmp_path / name
        folder.mkdir()
        told = {"model": "m", "slug": "m", "exam": 2022, "max_tokens": BUDGET}
        manifest = {"settings": told | settings} | (about or {})
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for file, lines in (("answers", rows), ("probe", probe)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / f"{file}.jsonl").write_text(text, encoding="utf-8")
        return load_run(folder)

    return _run
