"""What holds for the project as a whole: requirements, lock, set-up, house rules."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import igaku
from igaku import cli
from igaku.params.settings import FIELDS
from igaku.study.answers import COLUMNS, FROM_PLAN, FROM_RUN
from igaku.words import OUTCOMES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "igaku"

# What the workbook is made of, imported or not: some are started, some are fallen into.
FIXED = {
    "ipykernel",
    "jupyterlab",
    "matplotlib",
    "openai",
    "pandas",
    "papermill",
    "scipy",
    "seaborn",
}
# What is imported by a name that is not the project's, or comes with it for good.
OTHER_NAMES = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "cycler": "matplotlib",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def lock():
    return (ROOT / "requirements.lock").read_text()


def bounds(lines):
    """Name → bounds of each requirement, whatever order the bounds are written in."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): set(map(str, r.specifier)) for r in parsed}


# --- requirements ---------------------------------------------------------------------


def test_environment_and_project_name_the_same_requirements(project):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    python = f"python{project['requires-python']}"
    assert bounds(conda) == bounds([*project["dependencies"], python, "pip"])
    assert {"pip": ["-e ."]} in environment["dependencies"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]


def test_every_requirement_has_an_upper_bound(project):
    open_ended = [r for r in bounds(project["dependencies"]).items() if not upper(r[1])]
    assert not open_ended


def upper(specifiers):
    return any(one.startswith("<") for one in specifiers)


def imported(path):
    """The top-level names of what a file imports, at its head or inside functions."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        source = "\n".join(
            "".join(c["source"]) for c in cells if c["cell_type"] == "code"
        )
    else:
        source = path.read_text()
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    own = {"igaku", *sys.stdlib_module_names}
    return {canonicalize_name(OTHER_NAMES.get(n, n)) for n in names - own}


def test_every_import_of_the_package_is_declared(project):
    core = set(bounds(project["dependencies"]))
    extras = project["optional-dependencies"]
    more = {"igaku/lab": "lab", "igaku/mechanism": "lab", "train": "train"}
    undeclared = {}
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "train").glob("*.py")]:
        extra = more.get(str(path.parent.relative_to(ROOT)))
        declared = core | set(bounds(extras[extra]) if extra else ())
        declared |= {"tokenizers"} if extra == "lab" else set()  # mlx-lm brings it
        declared |= {"ipython", "matplotlib-inline"}  # ipykernel brings them
        if missing := imported(path) - declared - {"train"}:
            undeclared[str(path.relative_to(ROOT))] = missing
    assert not undeclared


def test_every_import_of_tests_and_benchmarks_is_declared(project):
    extras = project["optional-dependencies"].values()
    declared = bounds(
        [*project["dependencies"], *(r for extra in extras for r in extra)]
    )
    for path in [*(ROOT / "tests").glob("*.py"), *(ROOT / "bench").glob("*.py")]:
        own = {canonicalize_name(each.stem) for each in path.parent.glob("*.py")}
        assert imported(path) <= own | set(declared), path.name


def test_every_requirement_is_used(project):
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    used = set().union(*map(imported, sources))
    assert set(bounds(project["dependencies"])) <= used | FIXED


# --- the lock -------------------------------------------------------------------------


def locked(text):
    return {
        canonicalize_name(name): Version(version)
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    }


def test_the_lock_answers_every_requirement(project, lock):
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["lab"], *extras["test"]]
    found = locked(lock)
    for requirement in map(Requirement, wanted):
        version = found.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not locked: run make lock"
        assert version in requirement.specifier, f"{requirement}: run make lock"


def test_the_lock_has_hashes_and_no_address(lock):
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|file:|^-|/simple|@ ", lock, re.MULTILINE)


def test_training_is_not_locked(project, lock):
    assert "torch" not in locked(lock)
    assert "torch" in bounds(project["optional-dependencies"]["train"])


def test_no_index_is_named():
    for name in ("Makefile", "set_up.py", ".ci/run", "pyproject.toml"):
        assert not re.search(r"--(extra-)?index|https?://", (ROOT / name).read_text())


# --- set-up ---------------------------------------------------------------------------


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    """The set-up script, at work in a folder of its own, with nothing really run."""
    for name in ("set_up.py", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return loaded(tmp_path / "set_up.py", monkeypatch)


def loaded(path, monkeypatch):
    """A set-up script as a module, its `run` replaced by a list of what it gets."""
    spec = importlib.util.spec_from_file_location("set_up", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.really_run, module.ran, module.answers = module.run, [], {}

    def run(stage, *command, of=0):
        command = [*map(str, command)]
        module.ran.append(command)
        module.LOG.write_text("what pip said\n")
        if "venv" in command:
            module.PYTHON.parent.mkdir(parents=True, exist_ok=True)
            module.PYTHON.touch()
        purpose = command[-1] if "-c" in command else stage.partition(": ")[2]
        return module.answers.get(purpose, (0, ""))

    monkeypatch.setattr(module, "run", run)
    return module


def test_a_second_set_up_runs_nothing(set_up):
    set_up.main()
    assert set_up.ran
    set_up.ran.clear()
    assert set_up.main() == 0
    assert not set_up.ran


def test_an_interrupted_set_up_is_done_again(set_up, monkeypatch):
    def interrupted(text):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(set_up, "split_lock", interrupted)
        assert "the next make starts over" in set_up.main()
    assert json.loads(set_up.STAMP.read_text()) == {}
    set_up.ran.clear()
    assert set_up.main() == 0
    assert set_up.ran[0][1:3] == ["-m", "venv"]
    assert json.loads(set_up.STAMP.read_text())["place"] == str(set_up.VENV)


@pytest.mark.parametrize("is_quiet", [False, True])
def test_a_kernel_of_this_environment_starts_without_its_warning(
    set_up, tmp_path, is_quiet
):
    """The rest of what it logs is still said."""
    set_up.main()
    (profile := tmp_path / "ipython/profile_default").mkdir(parents=True)
    config = set_up.VENV / "etc/ipython/ipython_kernel_config.py"
    later = "import logging\nlogging.getLogger('IPKernelApp').warning('another one')"
    source = new_notebook(cells=[new_code_cell(later)])
    nbformat.write(source, tmp_path / "n.ipynb")
    if is_quiet:
        shutil.copy(config, profile)
    command = [sys.executable, "-m", "papermill", "n.ipynb", "out.ipynb"]
    command += ["-k", "python3", "--log-output"]
    place = {"IPYTHONDIR": str(profile.parent), "JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | place, text=True, capture_output=True
    )
    assert done.returncode == 0 and "another one" in done.stderr
    is_quiet |= (Path(sys.prefix) / "etc/ipython/ipython_kernel_config.py").exists()
    assert ("TCP without encryption" in done.stderr) != is_quiet


def test_jupyterlab_of_this_environment_fetches_no_news(set_up):
    set_up.main()
    told = "from jupyterlab_server.config import get_static_page_config as told\n"
    told += "print(told(level='all')['disabledExtensions'])"
    place = {"JUPYTER_CONFIG_PATH": str(set_up.VENV / "etc/jupyter")}
    found = subprocess.check_output(
        [sys.executable, "-c", told], env=os.environ | place, text=True
    )
    assert "'@jupyterlab/apputils-extension:announcements': True" in found


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_change_brings_the_environment_up_to_date(set_up, name):
    set_up.main()
    set_up.ran.clear()
    with (set_up.ROOT / name).open("a") as file:
        file.write("\n# changed\n")
    assert set_up.main() == 0
    rebuilt = any("venv" in command for command in set_up.ran)
    assert rebuilt == (name == "requirements.lock")
    assert any("--editable" in command for command in set_up.ran)


def test_a_moved_checkout_is_set_up_anew(set_up, tmp_path, monkeypatch):
    set_up.main()
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    there = loaded(moved / "set_up.py", monkeypatch)
    assert there.main() == 0
    assert there.ran[0][1:3] == ["-m", "venv"]


def test_an_old_environment_of_ours_makes_room_and_stays_ours(set_up, monkeypatch):
    def interrupted(folder):
        raise KeyboardInterrupt

    (set_up.VENV / "lib").mkdir(parents=True)
    set_up.STAMP.write_text("{}")
    with monkeypatch.context() as broken:
        broken.setattr(set_up.shutil, "rmtree", interrupted)
        assert "the next make starts over" in set_up.main()
    assert set_up.main() == 0
    assert not (set_up.VENV / "lib").exists()


def test_an_environment_of_someone_else_is_left_alone(set_up):
    (set_up.VENV / "bin").mkdir(parents=True)
    with pytest.raises(SystemExit, match="move it away and run make again"):
        set_up.main()
    assert not set_up.ran
    assert (set_up.VENV / "bin").is_dir()


def test_python_without_venv_is_told_what_to_install(set_up):
    set_up.answers["an empty environment"] = (1, "")
    for _ in range(2):  # a failed set-up is not taken for a whole one
        with pytest.raises(SystemExit, match="python3-venv"):
            set_up.main()


def test_an_engine_without_a_build_is_left_out(set_up, capsys):
    set_up.answers["the engine mlx"] = (1, f"ERROR: {set_up.NO_BUILD} for mlx==1")
    assert set_up.main() == 0
    said = capsys.readouterr().err
    assert "the engine mlx is left out" in said
    assert "glibc" in said
    assert "llama.cpp is left out" not in said


def test_an_engine_that_does_not_start_is_left_out(set_up, capsys):
    set_up.answers["import xllamacpp"] = (1, "")
    assert set_up.main() == 0
    assert "the engine llama.cpp is left out" in capsys.readouterr().err


def test_a_broken_download_is_no_missing_engine(set_up, capsys):
    wrong = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"
    set_up.answers["the engine mlx"] = (1, wrong)
    with pytest.raises(SystemExit, match="the engine mlx could not be installed"):
        set_up.main()
    assert "what pip said" in capsys.readouterr().err
    assert json.loads(set_up.STAMP.read_text()) == {}


@pytest.mark.parametrize("version", [(3, 7), (3, 10), (3, 15)])
def test_another_python_is_refused_in_a_sentence(set_up, monkeypatch, version):
    monkeypatch.setattr(set_up.sys, "version_info", version)
    told = set_up.main()
    assert re.search(r"one of 3\.11 to 3\.14 is needed: name it", told)
    assert not set_up.ran


def test_what_has_no_wheel_for_the_newest_python_is_left_out_and_said(
    set_up, monkeypatch, capsys
):
    monkeypatch.setattr(set_up.sys, "version_info", (3, 14))
    assert set_up.main() == 0
    assert "left out on Python 3.14" in capsys.readouterr().err
    assert not any(set_up.SNAKEMAKE in str(step) for step in set_up.ran)


def test_the_python_range_of_set_up_is_that_of_the_project(set_up, project):
    oldest, newest = set_up.OLDEST, set_up.NEWEST
    wanted = f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert project["requires-python"] == wanted


def test_every_locked_package_belongs_to_one_part_of_the_set_up(set_up, lock):
    parts = set_up.split_lock(lock)
    assert set_up.ENGINES.keys() < parts.keys()
    assert all(lines for lines in parts.values())
    lines = [line for part in parts.values() for line in part]
    assert sorted(lines) == sorted(lock.splitlines())


def test_the_set_up_says_how_far_it_is_all_the_time(set_up, monkeypatch, capsys):
    """In a terminal a line every second, with pip's own counts; here a stand-in's."""
    set_up.VENV.mkdir()
    monkeypatch.setattr(set_up.sys.stderr, "isatty", lambda: True, raising=False)
    code = (
        "import time; print('Ignoring a: it is not for here'); time.sleep(1.3)\n"
        "print('Collecting b', flush=True); time.sleep(1.3); print('Collecting c')"
    )
    status, output = set_up.really_run(
        "2 of 6: the locked packages", sys.executable, "-uc", code, of=3
    )
    assert status == 0 and output.count("Collecting") == 2
    shown = capsys.readouterr().err.split("\r\033[K")
    assert shown[1] == "2 of 6: the locked packages, 0 fetched of 2, 1 s"
    assert shown[-1].startswith("2 of 6: the locked packages, 2 fetched of 2")
    assert set_up.progress("Ignoring a\n", 5, there=2) == ", 2 installed of 4"


# --- commands and hooks ---------------------------------------------------------------


def test_ci_does_what_make_does():
    text = (ROOT / ".ci" / "run").read_text()
    assert "make test" in text
    assert "make lint" in text


def test_hook_and_make_strip_the_same(project):
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (strip,) = hooks["repos"][0]["hooks"][0]["args"]
    assert strip.replace("=", '="') + '"' in (ROOT / "Makefile").read_text()


def test_a_wheel_carries_the_data(tmp_path):
    """Built from a copy, for a build leaves its own folders behind."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / "igaku", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q"]
    command += ["--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {
        name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name
    }
    files = [p for p in (source / "igaku").rglob("*") if p.is_file()]
    assert packed == {str(path.relative_to(source)) for path in files}


# --- README ---------------------------------------------------------------------------


READMES = ("README.md", "README.ja.md")


@pytest.fixture(params=READMES)
def readme(request):
    return (ROOT / request.param).read_text()


def code_blocks(text):
    return re.findall(r"```(?:sh|python)\n(.*?)```", textwrap.dedent(text), re.DOTALL)


def test_both_readmes_show_the_same_code():
    """Each but for the notebooks of its language."""
    english, japanese = ((ROOT / name).read_text() for name in READMES)
    own = re.compile(r"( LANG_=ja| --lang ja| lang=ja|(?<=\w)\.ja(?=\.ipynb))")
    neutral = re.sub(r" +#", " #", own.sub("", japanese))
    assert code_blocks(re.sub(r" +#", " #", english)) == code_blocks(neutral)
    named = re.compile(r"`([^`\n]+)`")
    assert set(named.findall(own.sub("", english))) == set(named.findall(neutral))


def test_readme_names_what_exists(readme):
    commands = {c.name or c.callback.__name__ for c in cli.app.registered_commands}
    blocks = "\n".join(code_blocks(readme))
    assert set(re.findall(r"^ *igaku (\w+)", blocks, re.MULTILINE)) <= commands
    assert set(re.findall(r" -p (\w+) ", readme)) - {"name"} <= set(FIELDS)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", readme):
        assert f"\n{target}:" in makefile
    for link in re.findall(r"\]\(([^):#]+)\)", readme):
        assert (ROOT / link).exists(), link
    for path in re.findall(r"notebooks/[\w.]+\.ipynb", readme):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", ["files.md", "files.ja.md"])
def test_every_field_of_a_reply_is_explained(page):
    text = (ROOT / "docs" / page).read_text()
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(COLUMNS) - {*FROM_RUN, *FROM_PLAN} <= named
    assert all(f"`{outcome}`" in text for outcome in OUTCOMES)


# --- the package ----------------------------------------------------------------------


def test_public_names_are_where_they_are_said_to_be():
    assert sorted(igaku.__all__) == sorted(igaku._HOMES)
    for name, home in igaku._HOMES.items():
        assert getattr(igaku, name).__module__.startswith("igaku"), home
    assert set(dir(igaku)) == {*igaku.__all__, *igaku._ROOMS}


def test_the_names_a_type_checker_sees_are_the_public_ones():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {a.name: n.module for n in guarded.body for a in n.names}
    assert seen == igaku._HOMES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'laod_exam'"):
        igaku.laod_exam  # noqa: B018


def test_importing_igaku_loads_nothing_heavy():
    heavy = "{'pandas', 'openai', 'matplotlib', 'scipy', 'numpy', 'tqdm', 'httpx'}"
    code = f"import sys, igaku, igaku.cli; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_function_is_long():
    long = []
    for path in [*PACKAGE.rglob("*.py"), ROOT / "set_up.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > 40:
                    long.append(f"{path.name}:{node.name} has {length} lines")
    assert not long
