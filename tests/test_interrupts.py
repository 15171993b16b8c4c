"""What is interrupted says what it left, and goes on by whichever command.

Every signal ends `igaku check`, and one notebook each: Ctrl-C that of a run, SIGTERM
that of a sweep, SIGHUP that of an analysis.
"""

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
from fcntl import ioctl

import pytest
from runs import sit
from stand_in import Answer, StandIn
from starting import IGAKU, ROOT, environment, executed

from igaku.ask.run import questions_of, run_exam
from igaku.params.settings import settings_from

PAPERMILL = [sys.executable, "-m", "papermill", "notebooks/run.ipynb"]
LINE = r"asked, right \d+, lost \d+, \d+ tokens/s, [\d:?]+ left"
KEPT = r"igaku: Stopped: (\d+) of 30 replies are kept in (\S+), and the same command "


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


# --- a run ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow():
    """A server whose every reply takes a while."""
    with StandIn(slowly) as server:
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


def slowly(asked, number):
    return Answer(delay=0.3, completion_tokens=40)


def test_ctrl_c_tells_what_was_kept_and_papermill_goes_on_with_it(slow, tmp_path):
    """Its log has lines, and few of them."""
    slow.behave = slowly
    terminal = Terminal(*by_igaku(slow, tmp_path))
    terminal.until(rf"\r[^\r\n]*{LINE}")
    terminal.typed(b"\x03")
    assert terminal.ended() == 130
    *_, last = terminal.said.replace("\r", "").strip().splitlines()
    told = re.match(KEPT, last)
    assert told and "Traceback" not in terminal.said
    assert int(told[1]) == len(rows_of(tmp_path)) < 30
    manifest = json.loads((tmp_path / "slow/manifest.json").read_text())
    assert manifest["sessions"][-1]["ended"] == "interrupted"

    kept, slow.behave = rows_of(tmp_path), lambda asked, n: Answer(completion_tokens=40)
    plain = ("--log-output", "--no-progress-bar")
    _, log = executed(*by_papermill(slow, tmp_path), *plain)
    assert rows_of(tmp_path)[: len(kept)] == kept and len(rows_of(tmp_path)) == 30
    own = [line for line in log.splitlines() if line.startswith("slow: ")]
    assert own[0].startswith(f"slow: {len(kept)}/30 asked")
    assert re.match(rf"slow: 30/30 {LINE}", own[-1]) and "\r" not in own[-1]
    assert len(own) <= 4
    assert len(log) < 8_000 and " object at 0x" not in log


def test_papermill_by_itself_shows_how_far_it_is_and_what_it_kept(slow, tmp_path):
    slow.behave = slowly
    terminal = Terminal(*by_papermill(slow, tmp_path))
    terminal.until(rf"\rslow: [^\r\n]*/30 {LINE}")
    terminal.typed(b"\x03")
    assert terminal.ended() != 0
    told = re.search(KEPT, terminal.said)
    assert told and int(told[1]) == len(rows_of(tmp_path))
    assert "Traceback" not in terminal.said

    kept, slow.behave = rows_of(tmp_path), lambda asked, n: Answer()
    # As `igaku run` does, without its notebook.
    settings = settings_from(**asking(slow, tmp_path), model="stand-in")
    run_exam(settings, questions_of(settings), progress=False)
    assert rows_of(tmp_path)[: len(kept)] == kept and len(rows_of(tmp_path)) == 30


# --- what ends the others -------------------------------------------------------------


def interrupted(words, when, how):
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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_check_ends_in_a_sentence(how, slow, shared, monkeypatch):
    monkeypatch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
    slow.behave, before = (lambda asked, n: Answer(delay=20)), len(slow.asked)
    words = ["check", "stand-in", "--base-url", slow.base_url]
    errors = interrupted(words, lambda: len(slow.asked) > before, how)
    assert errors.startswith("igaku: Stopped: ") and errors.count("\n") == 1


def test_a_sweep_ends_in_a_sentence(tmp_path):
    file, outputs = tmp_path / "mine.yaml", tmp_path / "outputs"
    told = {"models": ["openai-8bit"], "exams": ["calibration"]}
    with StandIn(slowly, models=["openai/gpt-oss-20b@8bit"]) as server:
        file.write_text(json.dumps(told | {"endpoints": [server.base_url]}))
        words = ["sweep", file, "--outputs", outputs]
        errors = interrupted(
            words, lambda: [*outputs.glob("*/answers.jsonl")], signal.SIGTERM
        )
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("igaku: Stopped: ")


def test_an_analysis_ends_in_a_sentence(tmp_path):
    sit(tmp_path, [True, True, False])
    # papermill writes its notebook as soon as the kernel is there, then cell by cell.
    draft = tmp_path / "analysis.ipynb"
    errors = interrupted(["analyse", tmp_path], draft.is_file, signal.SIGHUP)
    assert errors.splitlines()[-1].startswith("igaku: Stopped: ")
    assert "Traceback" not in errors
