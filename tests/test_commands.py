"""`igaku run` and its kin: as papermill does, with a sign of life, and interrupted."""

import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from fcntl import ioctl

import pandas as pd
import pytest
from runs import sit
from stand_in import Answer, StandIn
from starting import PYTHONPATH

from igaku import commands
from igaku.ask.progress import Follower, Stream, bar, standing
from igaku.ask.run import questions_of, run_exam
from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.params.settings import settings_from
from igaku.paths import ROOT
from igaku.study.runs import load_runs

GGUF = "lab-gguf-mxfp4"
IGAKU = [sys.executable, "-m", "igaku.cli"]
PAPERMILL = [sys.executable, "-m", "papermill", "notebooks/run.ipynb"]
LINE = r"asked, right \d+, lost \d+, \d+ tokens/s, [\d:?]+ left"
KEPT = r"igaku: Stopped: (\d+) of 30 replies are kept in (\S+), and the same command "


def environment():
    told = os.environ | {"PYTHONPATH": PYTHONPATH, "JUPYTER_PREFER_ENV_PATH": "1"}
    # A kernel that believes itself tested keeps no copy of what it was started with.
    return {n: v for n, v in told.items() if n != "PYTEST_CURRENT_TEST"}


def executed(*words):
    """A command that ended well: what it said on stdout, and on stderr."""
    done = subprocess.run(
        [*map(str, words)], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


class Terminal:
    """A command in a terminal of its own; `said` is all that it showed so far."""

    def __init__(self, *words):
        self.said, ours = "", 0
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._screen = ours
        self.process = subprocess.Popen(
            [sys.executable, "-c", SESSION, *map(str, words)],
            cwd=ROOT, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def until(self, pattern, seconds=120):
        """Wait until that is shown."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.said):
            assert time.monotonic() < end, self.said
            assert self._read(), self.said

    def typed(self, keys):
        os.write(self._screen, keys)

    def ended(self):
        """The exit status, once everything was shown."""
        while self._read():
            pass
        return self.process.wait(60)

    def _read(self):
        if not select.select([self._screen], [], [], 60)[0]:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # nobody has the terminal open any more
            return False
        self.said += data.decode(errors="replace")
        return bool(data)


# What a login does: the terminal is the session's, and Ctrl-C its foreground's.
SESSION = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def slow():
    """A server whose every reply takes a while, the first ones right."""
    with StandIn(lambda asked, n: Answer(delay=0.3, completion_tokens=40)) as server:
        yield server


def asking(server, folder):
    """The parameters that have the stand-in asked, as words of either command."""
    given = {"exam": "calibration", "shots": 0, "limit": 30, "run": "slow"}
    return given | {"base_url": server.base_url, "outputs_dir": str(folder)}


def by_igaku(server, folder):
    told = asking(server, folder).items()
    return [*IGAKU, "run", "stand-in", *(f"-p{name}={value}" for name, value in told)]


def by_papermill(server, folder):
    told = asking(server, folder).items()
    given = [word for name, value in told for word in ("-p", name, value)]
    (folder / "slow").mkdir(parents=True, exist_ok=True)
    place = [folder / "slow/run.ipynb", "-k", "python3", "-p", "model", "stand-in"]
    return [*PAPERMILL, *place, *given]


def rows_of(folder):
    (path,) = folder.glob("*/answers.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# --- as papermill does ----------------------------------------------------------------


def by_hand(folder, limit):
    (folder / GGUF).mkdir(parents=True, exist_ok=True)
    given = {"model": GGUF, "limit": limit, "outputs_dir": folder}
    told = [word for name, value in given.items() for word in ("-p", name, value)]
    executed(*PAPERMILL, folder / GGUF / "run.ipynb", "-k", "python3", *told)


def in_one(folder, limit):
    return executed(*IGAKU, "run", GGUF, "--limit", limit, "--outputs", folder)


@pytest.mark.skipif(missing_engine(GGUF) is not None, reason="llama.cpp is not here")
@pytest.mark.timeout(600)
def test_a_run_goes_on_from_one_command_to_the_other_and_answers_alike(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    by_hand(one, 6)
    by_hand_first = rows_of(one)
    said, shown = in_one(one, 12)
    in_one(other, 6)
    by_hand(other, 12)
    columns = ["problem_id", "outcome", "answer", "correct", "content", "reasoning"]
    frames = [load_runs(each)[columns] for each in (one, other)]
    pd.testing.assert_frame_equal(*frames)
    assert rows_of(one)[:6] == by_hand_first and len(rows_of(one)) == 12
    manifests = [
        json.loads((folder / GGUF / "manifest.json").read_text())
        for folder in (one, other)
    ]
    settings = [m["settings"] | {"outputs_dir": "", "base_url": ""} for m in manifests]
    assert settings[0] == settings[1]
    first, second = manifests
    assert first["questions"] == second["questions"]
    assert [len(m["sessions"]) for m in manifests] == [2, 2]

    right = sum(row["correct"] for row in rows_of(one))
    lines = [line.split() for line in said.splitlines()]
    assert lines[1][:2] == ["A", "2"]
    assert lines[7][:3] == ["all", "12", str(right)]
    assert f"{right} of 12 right" in said and "Status OK" in said
    page = one / GGUF / "run.html"
    assert said.endswith(f"{page.as_uri()}\n") and page.stat().st_size > 10_000
    assert f"{GGUF}: 12/12 asked, right {right}" in shown and "\r" not in shown

    before = rows_of(one)
    said, shown = in_one(one, 12)
    assert "It was finished before: nothing was asked.\n" in shown
    assert rows_of(one) == before and said.endswith(f"{page.as_uri()}\n")


def test_parameters_are_read_as_yaml_and_a_slip_is_a_sentence():
    named = {"limit": 3, "exam": None}
    told = ["load=true", "seed=7", "prompt=a=b.yaml", "extra_body={top_k: 20}"]
    assert commands.parameters(named, told) == {
        "limit": 3, "load": True, "seed": 7, "prompt": "a=b.yaml",
        "extra_body": {"top_k": 20},
    }  # fmt: skip
    for slip, sentence in {
        "lmit=3": "did you mean limit",
        "limit=4": "limit is given twice",
        "model=x": "model is given twice",
        "seed": "-p seed=VALUE",
        "seed=[": "cannot be read as YAML",
        "api_key=x": "IGAKU_API_KEY",
    }.items():
        with pytest.raises(IgakuError, match=re.escape(sentence)):
            commands.parameters(named, [slip])


def test_what_goes_wrong_in_the_notebook_is_one_sentence(slow, tmp_path):
    slow.behave = lambda asked, n: Answer(status=500, body={"error": "no memory"})
    done = subprocess.run(
        by_igaku(slow, tmp_path), cwd=ROOT, env=environment(), capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 1 and not done.stdout
    *bars, last = done.stderr.splitlines()
    assert last.startswith("igaku: ") and "no memory" in last
    assert all(line.startswith("slow: ") for line in bars)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two short runs side by side, compared by `igaku analyse`; folder and link."""
    folder = tmp_path_factory.mktemp("compared")
    for name, right in (("one", [True, True, False]), ("two", [True, False, None])):
        sit(folder, right, name)
    said, _ = executed(*IGAKU, "analyse", folder)
    return folder, said


def test_analyse_and_report_write_what_the_notebook_writes(compared):
    folder, said = compared
    assert said == f"{(folder / 'analysis.html').as_uri()}\n"
    for name in ("analysis.html", "report.html", "index.html"):
        assert (folder / name).stat().st_size > 2_000
    by_notebook = (folder / "report.md").read_bytes()
    (folder / "report.md").unlink()
    said, _ = executed(*IGAKU, "report", folder)
    assert said == f"{(folder / 'report.html').as_uri()}\n"
    assert (folder / "report.md").read_bytes() == by_notebook


def test_open_finds_a_page_by_its_name_and_says_where_it_is(compared, tmp_path):
    folder, _ = compared
    assert commands.page_of(None, folder) == folder / "report.html"
    for name in ("index", "replies"):
        assert commands.page_of(name, folder) == folder / f"{name}.html"
    with pytest.raises(IgakuError, match="did you mean analysis"):
        commands.page_of("analyses", folder)
    with pytest.raises(IgakuError, match="igaku analyse"):
        commands.page_of("report", tmp_path)
    with pytest.raises(IgakuError, match="igaku run"):
        commands.page_of("report", tmp_path / "nowhere")
    nowhere = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": "true"}
    words = [*IGAKU, "open", "--outputs", folder]
    shown = {n: v for n, v in (environment() | nowhere).items() if v}
    done = subprocess.run(map(str, words), env=shown, capture_output=True, text=True)
    assert done.stdout == f"{(folder / 'report.html').as_uri()}\n"
    assert ("No browser was found" in done.stderr) == (sys.platform != "darwin")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS opens its own browser")
def test_open_opens_the_browser_where_there_is_one(compared, tmp_path):
    folder, _ = compared
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    told = environment() | {"DISPLAY": ":9", "BROWSER": str(browser)}
    words = [*IGAKU, "open", "analysis", "--outputs", folder]
    done = subprocess.run(map(str, words), env=told, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    assert (tmp_path / "opened").read_text() == done.stdout


# --- a sign of life, and an end -------------------------------------------------------


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGINT", "SIGTERM"])
def test_what_ends_a_run_is_told_what_was_kept_and_the_run_goes_on(how, slow, tmp_path):
    slow.behave = lambda asked, n: Answer(delay=0.3, completion_tokens=40)
    command = by_igaku(slow, tmp_path)
    terminal = Terminal(*command)
    terminal.until(rf"\r[^\r\n]*{LINE}")
    if how == "Ctrl-C":
        terminal.typed(b"\x03")
    else:  # it reaches igaku and nothing else
        terminal.process.send_signal(getattr(signal, how))
    assert terminal.ended() == 130
    *_, last = terminal.said.replace("\r", "").strip().splitlines()
    told = re.match(KEPT, last)
    assert told and "Traceback" not in terminal.said
    assert int(told[1]) == len(rows_of(tmp_path)) < 30
    manifest = json.loads((tmp_path / "slow/manifest.json").read_text())
    assert manifest["sessions"][-1]["ended"] == "interrupted"

    slow.behave, kept = (lambda asked, n: Answer()), rows_of(tmp_path)
    if how == "Ctrl-C":
        executed(*command)
    else:  # as that command does, without its notebook
        given = asking(slow, tmp_path) | {"model": "stand-in"}
        settings = settings_from(**given)
        run_exam(settings, questions_of(settings), progress=False)
    assert rows_of(tmp_path)[: len(kept)] == kept and len(rows_of(tmp_path)) == 30


def test_papermill_by_itself_shows_how_far_it_is_and_what_it_kept(slow, tmp_path):
    slow.behave = lambda asked, n: Answer(delay=0.3, completion_tokens=40)
    terminal = Terminal(*by_papermill(slow, tmp_path))
    terminal.until(rf"\rslow: [^\r\n]*/30 {LINE}")
    terminal.typed(b"\x03")
    assert terminal.ended() != 0
    told = re.search(KEPT, terminal.said)
    assert told and int(told[1]) == len(rows_of(tmp_path))
    assert "Traceback" not in terminal.said


def test_the_log_of_a_papermill_has_lines_and_few_of_them(slow, tmp_path):
    slow.behave = lambda asked, n: Answer(completion_tokens=40)
    _, log = executed(
        *by_papermill(slow, tmp_path), "--log-output", "--no-progress-bar"
    )
    lines = log.splitlines()
    own = [line for line in lines if line.startswith("slow: ")]
    assert own[0].startswith("slow: 0/30 asked")
    assert re.match(rf"slow: 30/30 {LINE}", own[-1]) and "\r" not in own[-1]
    assert len(own) <= 4
    assert len(log) < 8_000 and " object at 0x" not in log


def test_the_early_stop_is_told_once_it_is_near():
    blank = {"outcome": "empty", "correct": None, "completion_tokens": None}
    rows = [blank | {"seconds": 1.0}] * 3
    assert standing(rows) == "right 0, lost 3"
    assert standing(rows + rows[:1]) == "right 0, lost 4, stops early at 3 more lost"
    assert standing(rows + rows[:1], stops=False) == "right 0, lost 4"


def test_a_bar_of_many_runs_says_whose_replies_it_tells_of(tmp_path):
    with bar(io.StringIO(), total=60) as shown:
        look = Follower(shown, tmp_path / "second", before=30)
        sit(tmp_path, [True, False, True], "second")
        look()
        assert shown.n == 33 and shown.postfix.startswith("of its 3 right 2, lost 0")


def test_a_bar_whose_first_reply_took_long_ends_its_line(tmp_path):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, bar(terminal) as shown:
        look = Follower(shown, tmp_path / "run")
        sit(tmp_path, [True], "run")
        look()
    said = ""
    with suppress(OSError):  # all of it has been read
        while piece := os.read(ours, 65536):
            said += piece.decode()
    os.close(ours)
    assert said.endswith("\r\n") and "1/1 asked, right 1" in said


def test_the_page_of_replies_is_of_all_replies_there_are(tmp_path):
    sit(tmp_path, [True, False], "one")
    page = commands.page_of("replies", tmp_path)
    assert page.name == "replies.html" and "later-one" not in page.read_text("utf-8")
    sit(tmp_path, [False, True], "later-one")
    assert "later-one" in commands.page_of("replies", tmp_path).read_text("utf-8")


def test_a_bar_says_when_the_first_question_is_asked(tmp_path):
    folder = sit(tmp_path, [None], "run").folder
    (folder / "answers.jsonl").unlink()
    with bar(io.StringIO(), postfix=commands.BEGINNING) as shown:
        look = Follower(shown, folder)
        look()
        assert shown.postfix == commands.BEGINNING
        (folder / "answers.jsonl").touch()
        look()
        assert shown.postfix == "the first reply is awaited"


def test_a_stream_that_nobody_reads_holds_nothing_up():
    reader, writer = os.pipe()
    full = Stream(os.fdopen(os.dup(writer), "w"))
    for _ in range(100):  # a pipe takes some 64 kB
        full.put("x" * 1000)
    os.close(writer)
    assert len(os.read(reader, 1_000_000)) < 100_000
    os.close(reader)
    full.put("and nobody ever will")


# --- what ends the others -------------------------------------------------------------


def interrupted(words, when, how=signal.SIGINT):
    """What a command said on stderr, ended by a signal once `when` is so."""
    process = subprocess.Popen(
        [*IGAKU, *map(str, words)], cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        # Under nohup a command does not hear a terminal that closes, and is not to.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    end = time.monotonic() + 100
    while not when():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(how)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    return errors


def test_a_check_ends_in_a_sentence(slow, shared, monkeypatch):
    monkeypatch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
    slow.behave, before = (lambda asked, n: Answer(delay=20)), len(slow.asked)
    words = ["check", "stand-in", "--base-url", slow.base_url]
    errors = interrupted(words, lambda: len(slow.asked) > before)
    assert errors.startswith("igaku: Stopped: ") and errors.count("\n") == 1


@pytest.mark.skipif(missing_engine(GGUF) is not None, reason="llama.cpp is not here")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_ends_in_a_sentence(how, tmp_path):
    file, outputs = tmp_path / "mine.yaml", tmp_path / "outputs"
    told = {"models": [GGUF], "exams": ["calibration"], "endpoints": ["lab"]}
    file.write_text(json.dumps(told))
    words = ["sweep", file, "--outputs", outputs]
    errors = interrupted(words, lambda: [*outputs.glob("*/answers.jsonl")], how)
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("igaku: Stopped: ")


def test_an_analysis_ends_in_a_sentence(compared):
    folder, _ = compared
    draft, began = folder / "analysis.ipynb", time.time()
    # papermill writes its notebook as soon as the kernel is there, then cell by cell.
    words = ["analyse", folder]
    errors = interrupted(words, lambda: draft.stat().st_mtime > began)
    assert errors.splitlines()[-1].startswith("igaku: Stopped: ")
    assert "Traceback" not in errors


def test_a_run_of_other_settings_is_refused_before_its_notebook_is_touched(tmp_path):
    given = {"exam": "calibration", "shots": 0, "limit": 2, "run": "r"}
    with StandIn() as server:
        place = {"base_url": server.base_url, "outputs_dir": str(tmp_path)}
        settings = settings_from(model="stand-in", **given, **place)
        folder = run_exam(settings, questions_of(settings), progress=False)
        kept = folder / "run.ipynb"
        kept.write_text("the notebook of that run")
        told = ("run", "stand-in", "--max-tokens", 7)
        named = [f"{name}={value}" for name, value in (given | place).items()]
        words = [word for each in named for word in ("-p", each)]
        done = subprocess.run(
            [*IGAKU, *map(str, told), *words],
            cwd=ROOT, env=environment(), capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "was made under other settings: max_tokens (1024, now 7)" in done.stderr
    assert kept.read_text() == "the notebook of that run"
