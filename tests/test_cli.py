"""The `igaku` command, and what `make run` starts."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from runs import sit
from typer.testing import CliRunner

from igaku import cli, demo, listing, paths, workbook
from igaku.ask.folder import locked
from igaku.errors import IgakuError
from igaku.params.settings import FIELDS
from igaku.paths import NOTEBOOKS
from igaku.workbook import ended


def igaku_command(*words):
    command = [sys.executable, "-m", "igaku.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_help_names_every_command():
    shown = CliRunner().invoke(cli.app, ["--help"]).output
    for command in cli.app.registered_commands:
        assert (command.name or command.callback.__name__) in shown


def test_a_problem_is_one_sentence_and_exit_code_1(tmp_path):
    done = igaku_command("render", tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("igaku: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_an_analysis_is_declared_once(tmp_path):
    words = ["declare", tmp_path / "new", "--question", "Does 4 bit cost accuracy?"]
    given = ["--reference", "openai-8bit", "--family", "openai-8bit"]
    given += ["--family", "openai-mxfp4,lab", "--margin", 0.05, "--level", 0.01]
    given += ["--exam", 2021, "--exam", 2022, "--repeats", 3, "--stopping", "never"]
    done = igaku_command(*words, *given)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "new/study.yaml"
    assert done.stdout == f"{path}\n{path.read_text('utf-8')}\n"
    told = yaml.safe_load(path.read_text("utf-8"))
    assert told | {
        "question": "Does 4 bit cost accuracy?", "reference": "openai-8bit",
        "family": ["openai-8bit", "openai-mxfp4", "lab"], "margin": 0.05, "level": 0.01,
        "exams": [2021, 2022], "repeats": 3, "stopping": "never", "begun": 0,
    } == told  # fmt: skip
    refused = igaku_command(*words)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "declare another analysis in a folder of its own" in refused.stderr
    refused = igaku_command(*words[:-1], "Why?", "--margin", 5)
    assert "margin is 5.0, but must be a number above 0 to 0.5" in refused.stderr


def test_a_slip_of_the_pen_is_exit_code_2():
    done = igaku_command("rendre")
    assert done.returncode == 2
    assert "render" in done.stderr


def test_an_unwritable_file_is_a_sentence(monkeypatch, capsys):
    def full():
        raise OSError(28, "No space left on device", "outputs/x.html")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == (
        "igaku: outputs/x.html cannot be written (the disk is full): make room, then "
        "run again; what was written before is kept."
    )


# --- make run -------------------------------------------------------------------------


@pytest.fixture
def papermill(monkeypatch):
    """papermill's place taken by a list of what it would have ended with."""
    taken = SimpleNamespace(ends=[], commands=[])

    def run(command, watch, keep=()):
        taken.commands.append(command)
        watch()
        return taken.ends.pop(0) if taken.ends else (0, "")

    monkeypatch.setattr(workbook, "run", run)
    return taken


def given_to(command):
    """The parameters that a papermill was started with."""
    return yaml.safe_load(command[command.index("-y") + 1])


@pytest.mark.parametrize(
    ("lang", "file"), [("en", "run.ipynb"), ("ja", "run.ja.ipynb")]
)
def test_a_notebook_is_executed_in_the_language_of_its_pages(
    papermill, tmp_path, lang, file
):
    given = {"lang": lang, "extra_body": {"ward": "007", "on": False}}
    workbook.execute("run.ipynb", tmp_path / "a" / "run.ipynb", given)
    (command,) = papermill.commands
    assert command[3:5] == [str(NOTEBOOKS / file), str(tmp_path / "a" / "run.ipynb")]
    assert given_to(command) == given


def test_a_kernel_that_lost_its_port_is_started_once_more(papermill, tmp_path):
    race = (1, "zmq.error.ZMQError: Address already in use")
    papermill.ends = [race]
    workbook.execute("run.ipynb", tmp_path / "a" / "run.ipynb", {"limit": 3})
    assert len(papermill.commands) == 2
    papermill.ends = [race, race]
    with pytest.raises(IgakuError, match="Address already in use"):
        workbook.execute("run.ipynb", tmp_path / "run.ipynb", {})


def test_a_failed_notebook_is_not_started_again(papermill, tmp_path):
    papermill.ends = [(1, "ValueError: no")]
    with pytest.raises(IgakuError, match=r"^no$"):
        workbook.execute("run.ipynb", tmp_path / "run.ipynb", {})
    assert len(papermill.commands) == 1


def test_the_sentence_of_a_log_is_that_of_the_error():
    log = "\x1b[31mTraceback\x1b[0m\nigaku.errors.IgakuError: Start it.\n\n end"
    assert workbook.failure(log) == ("other", "Start it.")
    assert workbook.failure("a\nb: c\n\n") == (None, "b: c")
    assert workbook.failure("") == (None, "")


def test_every_model_is_asked_though_one_fails(
    papermill, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(demo, "has_engine", lambda slug: slug in demo.RECIPES)
    monkeypatch.setattr(demo, "crossed", lambda slugs: [])
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    page = tmp_path / "analysis.html"
    monkeypatch.setattr(workbook, "analyse", lambda folder, lang: page)
    papermill.ends = [(1, "igaku.errors.IgakuError: The port is taken.")]
    with pytest.raises(IgakuError, match=r"^lab-mlx-8bit did not finish"):
        demo.demo()
    given = [given_to(command) for command in papermill.commands]
    assert [each["model"] for each in given] == [*demo.RECIPES]
    assert [each.get("reasoning_effort") for each in given] == ["low"] * 3 + [None] * 3
    assert {(each["max_tokens"], each["limit"]) for each in given} == {(48, 30)}
    assert "lab-mlx-8bit: The port is taken." in capsys.readouterr().err


def test_the_crossing_changes_model_effort_and_budget_and_nothing_else():
    runs = demo.crossed((*demo.CROSSED, demo.CONTROL))
    told = {(s.slug, s.reasoning_effort, s.max_tokens) for s in runs}
    assert len(told) == len(runs) == 3 * 3 * 2
    assert {s.run for s in runs} == {"-".join(map(str, each)) for each in told}
    free = ("run", "model", "slug", "reasoning_effort", "max_tokens", "card")
    kept = {n: {repr(s.to_dict()[n]) for s in runs} for n in FIELDS if n not in free}
    assert all(len(values) == 1 for values in kept.values())
    assert not any(s.stop_when_broken for s in runs)


def test_without_any_engine_the_demo_says_so(monkeypatch):
    monkeypatch.setattr(demo, "has_engine", lambda settings: False)
    with pytest.raises(IgakuError, match="No engine"):
        demo.demo()


def test_a_command_is_watched_until_it_ends():
    seen = []
    code = "import time; print('hello'); time.sleep(1.2)"
    status, log = workbook.run([sys.executable, "-c", code], lambda: seen.append(1))
    assert (status, log) == (0, "hello\n")
    assert len(seen) >= 2


DEAF = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"


def test_a_command_does_not_outlive_an_interrupted_one(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    started = []
    monkeypatch.setattr(workbook, "PATIENCE", 0.1)
    monkeypatch.setattr(workbook, "ended", lambda p: ended(started.append(p) or p))
    with pytest.raises(KeyboardInterrupt):
        workbook.run([sys.executable, "-c", DEAF], interrupt)
    assert started[0].wait(5) < 0


def test_check_names_a_missing_server_before_it_fetches_an_exam(monkeypatch, capfd):
    monkeypatch.setenv("IGAKU_DATA_URL", "http://127.0.0.1:9/")
    monkeypatch.delenv("IGAKU_DATA", raising=False)
    monkeypatch.setattr(
        sys, "argv", ["igaku", "check", "x", "--base-url", "http://127.0.0.1:9/v1"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    # Python prints the text of SystemExit on stderr and exits with 1.
    assert "No server answers at http://127.0.0.1:9/v1" in str(ended.value.code)
    assert capfd.readouterr().out == ""


def test_the_version_is_that_of_the_package():
    from importlib import metadata

    told = CliRunner().invoke(cli.app, ["--version"])
    assert told.output.strip() == f"igaku {metadata.version('igaku')}"


def test_the_exams_are_listed_by_year_and_number():
    lines = CliRunner().invoke(cli.app, ["exams"]).output.splitlines()
    assert lines[0].split() == ["exam", "number", "questions", "where"]
    assert [line.split()[:3] for line in lines[1:6:4]] == [
        ["2018", "112", "400"], ["2022", "116", "400"]
    ]  # fmt: skip
    assert lines[-1].split() == ["calibration", "400", "generated"]


def test_runs_are_listed_and_one_that_asks_now_is_told(tmp_path):
    sit(tmp_path, [True, False], "done")
    with locked(tmp_path / "done"):
        lines = CliRunner().invoke(cli.app, ["runs", str(tmp_path)]).output.splitlines()
    assert lines[1].split()[0] == "done" and str(os.getpid()) in lines[1].split()
    lines = CliRunner().invoke(cli.app, ["runs", str(tmp_path)]).output.splitlines()
    assert str(os.getpid()) not in lines[1].split()


def test_a_shell_completes_models_and_runs(tmp_path, monkeypatch):
    assert "openai-8bit" in listing.slugs_of()
    monkeypatch.setattr("igaku.paths.OUTPUTS", tmp_path)
    sit(tmp_path, [True, False], "done")
    assert listing.runs_of() == ["done"]
    shown = CliRunner().invoke(cli.app, ["--help"]).output
    assert "--install-completion" in shown


def test_a_typo_in_a_slug_is_asked_about():
    done = igaku_command("check", "openai8bit", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "did you mean the slug openai-8bit?" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("rescue", "dnoe"), "did you mean done?"),
        (("repair", "dnoe"), "did you mean done?"),
        (("serve", "lab-gguf-mxpf4"), "did you mean gguf-mxfp4?"),
        (("sweep", "sede"), "did you mean seed?"),
    ],
)
def test_a_slip_in_a_name_is_asked_about(tmp_path, words, says):
    sit(tmp_path, [True, False], "done")
    place = ["--outputs", tmp_path] if words[0] != "serve" else []
    told = igaku_command(*words, *place)
    assert told.returncode == 1 and told.stderr.count("\n") == 1
    assert says in told.stderr


def test_ctrl_c_before_the_command_is_there_is_a_sentence_too():
    """A stand-in for the key: what is imported first is interrupted at its import."""
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'igaku.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from igaku.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "igaku: Stopped before it began.\n"


def test_python_runs_the_package_as_the_command_does():
    told = [sys.executable, "-m", "igaku", "--version"]
    done = subprocess.run(told, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("igaku ")
