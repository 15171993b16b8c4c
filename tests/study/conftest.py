"""The recorded runs, imported once for all tests of the study."""

import json

import pytest
from replies import BUDGET

import igaku
from igaku.study.runs import load_run

# run → how the names of its files begin
RECORDED = {
    "openai-8bit": "gpt-oss-20b-gguf",
    "openai-mxfp4-gguf": "gpt-oss-20b-openai-mxfp4-gguf",
    "mlx-community-mxfp4-q8": "gpt-oss-20b-mlx-community",
    "mlx-community-mxfp4-q4": "gpt-oss-20b-mlx-q4",
    "inferenceillusionist-4bit": "gpt-oss-20b-inferenceill",
    "safeguard-mxfp4": "gpt-oss-20b-safeguard",
    "safeguard-mxfp4-mt4096": "prompt_comparison",
}


@pytest.fixture(scope="session")
def recorded_folder(tmp_path_factory, shared):
    """A folder with the six recorded variants, one of them at two budgets."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
        for slug, stem in RECORDED.items():
            files = sorted((shared / "data/recorded").glob(f"{stem}*_2022_?.json"))
            igaku.import_recorded(files, folder, slug)
    return folder


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
