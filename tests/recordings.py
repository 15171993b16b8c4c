"""The recorded answers beside the checkout, brought in as runs."""

import shutil
import tempfile
from functools import cache

import pytest

import igaku

# slug of a model → stem of its files
STEMS = {
    "openai-8bit": "gpt-oss-20b-gguf",
    "openai-mxfp4-gguf": "gpt-oss-20b-openai-mxfp4-gguf",
    "mlx-community-mxfp4-q8": "gpt-oss-20b-mlx-community",
    "mlx-community-mxfp4-q4": "gpt-oss-20b-mlx-q4",
    "inferenceillusionist-4bit": "gpt-oss-20b-inferenceill",
    "safeguard-mxfp4": "gpt-oss-20b-safeguard",
    "safeguard-mxfp4-mt4096": "prompt_comparison_gpt-oss-safeguard-20b-mlx-mt4096",
}


def bring_in(folder, shared, references=()):
    """The six recorded variants, one at two budgets, and these references, as runs."""
    shutil.copytree(_imported(shared).name, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
        base = shared / "data/igakuqa/baseline_results/2022"
        for name in references:
            files = sorted(base.glob(f"*_{name}.jsonl"))
            igaku.import_recorded(files, folder, f"{name}-2022")
    return folder


@cache
def _imported(shared):
    """The folder of the variants, imported once and deleted when this process ends."""
    folder = tempfile.TemporaryDirectory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
        for slug, stem in STEMS.items():
            files = sorted((shared / "data/recorded").glob(f"{stem}_2022_*.json"))
            igaku.import_recorded(files, folder.name, slug)
    return folder
