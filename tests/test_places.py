"""Where igaku runs: beside a clone of its name, installed alone, in a new folder."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOADS = "import igaku; print(igaku.load_runs.__name__, igaku.__file__)"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone named igaku, as git would hand the working tree to a stranger."""
    folder = tmp_path_factory.mktemp("parent") / "igaku"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, told.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "outputs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def environment(folder, clone, *how):
    """A Python of its own with igaku in it, and the packages of this one behind it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    its = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    Path(its, "zz.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
    pip += ["--no-build-isolation", "--no-index", "--quiet", *how, clone]
    told = subprocess.run(pip, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return python


def said(python, *words, cwd, ok=True):
    ours = ("PYTHON", "JUPYTER")
    place = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    told = subprocess.run(
        [python, *map(str, words)], cwd=cwd, env=place, capture_output=True, text=True
    )
    assert (told.returncode == 0) == ok, told.stderr
    return told.stdout if ok else told.stderr


@pytest.fixture(scope="module")
def editable(clone, tmp_path_factory):
    return environment(tmp_path_factory.mktemp("editable") / "v", clone, "--editable")


@pytest.fixture(scope="module")
def alone(clone, tmp_path_factory):
    """The Python of an igaku that was installed from a clone which is gone."""
    return environment(tmp_path_factory.mktemp("alone") / "v", clone)


def test_a_clone_of_its_name_does_not_hide_the_package_from_its_parent(editable, clone):
    wanted = f"load_runs {clone / 'igaku' / '__init__.py'}"
    assert said(editable, "-c", LOADS, cwd=clone.parent).strip() == wanted
    script = clone.parent / "mine.py"
    script.write_text(LOADS)
    assert said(editable, script, cwd=clone.parent).strip() == wanted


def test_installed_alone_it_finds_its_models_and_notebooks(alone, tmp_path):
    told = said(
        alone, "-c", "from igaku import paths; import igaku.params.settings as s;"
        "print(paths.WORKBOOK, paths.OUTPUTS, paths.NOTEBOOKS.joinpath('run.ipynb')"
        ".is_file(), s.settings_from(model='openai-8bit').reasoning_effort)",
        cwd=tmp_path,
    )  # fmt: skip
    assert told.split() == ["None", str(tmp_path / "outputs"), "True", "low"]


def test_a_new_workbook_is_worked_in_and_what_was_there_stays(alone, tmp_path):
    folder = tmp_path / "study"
    (folder / "params").mkdir(parents=True)
    mine = folder / "params" / "openai-8bit.yaml"
    mine.write_text("model: openai/gpt-oss-20b@8bit\nmax_tokens: 77\n")
    igaku = alone.parent / "igaku"
    told = said(igaku, "new", folder, cwd=tmp_path)
    assert "files made in" in told
    assert {p.name for p in folder.iterdir()} == {"notebooks", "params", "outputs"}
    shipped = {p.relative_to(ROOT) for p in ROOT.glob("params/**/*.yaml")}
    assert shipped <= {p.relative_to(folder) for p in folder.glob("params/**/*.yaml")}
    within = folder / "notebooks"
    told = said(
        alone, "-c", "from igaku import paths; import igaku.params.settings as s;"
        "print(paths.OUTPUTS, s.settings_from(model='openai-8bit').max_tokens)",
        cwd=within,
    )  # fmt: skip
    assert told.split() == [str(folder / "outputs"), "77"]


def test_a_workbook_without_params_says_so(alone, tmp_path):
    igaku = alone.parent / "igaku"
    said(igaku, "new", tmp_path, cwd=tmp_path)
    (tmp_path / "params").rename(tmp_path / "away")
    for words in (("check", "openai-8bit"), ("demo",), ("sweep", "lab")):
        told = said(igaku, *words, cwd=tmp_path, ok=False)
        assert "There is no folder" in told and "igaku new" in told, told
        assert len(told.strip().splitlines()) == 1
