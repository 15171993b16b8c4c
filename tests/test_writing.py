"""What is written: whole or not at all, strict, and in a sentence where it cannot be.

The disk of these tests is full in earnest: a small one where the system lets a test
mount it, else a process whose files may not grow, which needs no rights.
"""

import errno
import json
import math
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from stand_in import Answer, StandIn

from igaku import writing
from igaku.ask import folder
from igaku.writing import Unwritable

CHECKOUT = Path(__file__).parents[1]
# Imports once, and forks a process for every sitting: that one has the little room.
ASKING = """
import json, os, resource, sys
from igaku.errors import IgakuError
from igaku.ask.run import run_exam
from igaku.exam.questions import load_exam
from igaku.params.settings import settings_from

def sit(url, place, most, number):
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    settings = settings_from(
        model="stand-in", exam="calibration", shots=0, run="r", base_url=url,
        outputs_dir=place, concurrency=2,
    )
    try:
        run_exam(settings, load_exam("calibration")[:number], progress=False)
    except IgakuError as problem:
        sys.exit(f"igaku: {problem}")

for line in sys.stdin:
    reader, writer = os.pipe()
    if not (sitting := os.fork()):
        os.dup2(writer, 2)
        sit(*json.loads(line))
        sys.exit()
    os.close(writer)
    with open(reader) as said:
        told = said.read()
    status = os.waitstatus_to_exitcode(os.waitpid(sitting, 0)[1])
    print(json.dumps([status, told]), flush=True)
"""
FULL = re.compile(
    r"igaku: \S+/r/(\S+) cannot be written \((?:the disk is full|files may not grow "
    r"larger here)\): make room, then run again; what was written before is kept\.\n"
)


@dataclass
class Disk:
    """A place with little room: bytes of one file, or of all where it is mounted."""

    place: Path
    is_mounted: bool
    asking: subprocess.Popen

    def ask(self, server, room=0, number=60):
        """Ask in a process of its own; room is what a process may write, 0 for any."""
        words = [server.base_url, str(self.place), room, number]
        print(json.dumps(words), file=self.asking.stdin, flush=True)
        status, said = json.loads(self.asking.stdout.readline())
        return subprocess.CompletedProcess(words, status, stderr=said)

    def rows(self):
        """The rows of the lines that are whole."""
        lines = (self.place / "r" / "answers.jsonl").read_bytes().split(b"\n")[:-1]
        return {json.loads(line)["problem_id"]: json.loads(line) for line in lines}

    def manifest(self):
        return json.loads((self.place / "r" / "manifest.json").read_bytes())

    def drafts(self):
        return [path.name for path in self.place.rglob("*.draft")]


def run(command, **given):
    """A command that has ended, with what it said."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    about = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, **pipes | given, env=about, text=True, check=False)


@pytest.fixture(scope="module")
def asking():
    """The process that starts one sitting for each line it is sent."""
    about = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", ASKING]
    with subprocess.Popen(command, env=about, **pipes) as process:
        yield process


@pytest.fixture
def disk_at(asking):
    """A function that gives the `Disk` of a place."""
    return lambda place, is_mounted=False: Disk(place, is_mounted, asking)


def is_root():
    return os.getuid() == 0


@contextmanager
def mounted(place, options, is_wanted=True):
    """A small disk of its own, where the system lets this process have one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    is_there = is_wanted and is_root() and run(command).returncode == 0
    try:
        yield is_there
    finally:
        if is_there:
            subprocess.run(["umount", "-l", str(place)], check=True)


def answering(asked, number):
    """A long reply, of which a small disk can hold a few."""
    return Answer("c", reasoning=f"{asked['messages'][-1]['content']} 考える" * 200)


def table(rows):
    """What rows say, without what differs between any two runs."""
    return {name: (row["outcome"], row["content"]) for name, row in rows.items()}


# --- a run on a full disk -------------------------------------------------------------


@pytest.mark.parametrize("is_wanted", [True, False], ids=["small disk", "small files"])
def test_a_disk_that_fills_ends_a_run_in_one_sentence_and_it_goes_on(
    is_wanted, disk_at, tmp_path
):
    with (
        mounted(tmp_path / "disk", "size=1m", is_wanted) as is_mounted,
        StandIn(answering) as server,
    ):
        disk = disk_at(tmp_path / "disk", is_mounted)
        ended = disk.ask(server, 0 if is_mounted else 1_000_000)
        assert FULL.fullmatch(ended.stderr)[1] == "answers.jsonl"
        assert ended.returncode == 1
        told = disk.manifest()
        (last,) = told["sessions"]
        assert told["status"] == "INCOMPLETE"
        assert last["ended"] == "stopped" and last["why"] == told["why"]
        assert "answers.jsonl cannot be written" in told["why"]
        assert disk.drafts() == []

        if disk.is_mounted:  # room is made
            grow = ["mount", "-o", "remount,size=64m", str(disk.place)]
            subprocess.run(grow, check=True)
        kept = disk.rows()
        assert 5 <= len(kept) < 60
        again = disk.ask(server)
        assert (again.stderr, again.returncode) == ("", 0)
        rows, told = disk.rows(), disk.manifest()
        whole = disk_at(tmp_path / "whole")
        assert whole.ask(server).returncode == 0
        assert len(rows) == 60 and kept.items() <= rows.items()
        assert table(rows) == table(whole.rows())
        assert told["status"] == "OK" and told["why"] is None
        assert [one["ended"] for one in told["sessions"]] == ["stopped", "finished"]


@pytest.mark.parametrize("room", [1, 2000], ids=["no byte", "no manifest"])
def test_a_disk_that_is_full_at_the_start_is_one_sentence(room, disk_at, tmp_path):
    with StandIn(answering) as server:
        disk = disk_at(tmp_path)
        ended = disk.ask(server, room)
        assert FULL.fullmatch(ended.stderr)[1] == "manifest.json"
        assert server.asked == [] and disk.drafts() == []
        assert disk.ask(server, number=5).returncode == 0
        assert len(disk.rows()) == 5


def test_a_manifest_that_cannot_be_closed_is_one_sentence_and_heals(disk_at, tmp_path):
    draft = tmp_path / "r" / ".manifest.json.draft"

    def behave(asked, number):
        if number == 3:
            draft.mkdir()
        return Answer()

    with StandIn(behave) as server:
        disk = disk_at(tmp_path)
        ended = disk.ask(server, number=5)
        assert ended.stderr.count("\n") == 1 and "Traceback" not in ended.stderr
        assert "manifest.json" in ended.stderr and "a folder is in its" in ended.stderr
        draft.rmdir()
        assert disk.ask(server, number=5).returncode == 0
        assert len(disk.rows()) == 5 and disk.manifest()["status"] == "OK"


def test_a_disk_without_inodes_is_named_so(tmp_path):
    with mounted(tmp_path / "disk", "nr_inodes=4") as is_mounted:
        if not is_mounted:
            pytest.skip("this process may not mount a disk: be root to run this test")
        place = tmp_path / "disk" / "r"
        writing.put(place / "a", "1")
        with pytest.raises(Unwritable, match=r"no more files: it has no inode left\):"):
            for name in "bcd":
                writing.put(place / name, "1")
        assert (place / "a").read_text() == "1"
        assert not list(place.glob("*.draft"))


# --- one file -------------------------------------------------------------------------


def test_a_folder_that_may_not_be_written_is_a_sentence(tmp_path):
    script = """
import os, sys
from pathlib import Path
from igaku import paths, writing
paths.cache_dir()  # imports what another user may not read here
if os.getuid() == 0:
    os.setuid(65534)
try:
    writing.put(Path(sys.argv[1]) / "x", "text")
except writing.Unwritable as told:
    print(told)
"""
    tmp_path.chmod(0o555)
    said = run([sys.executable, "-c", script, str(tmp_path)]).stdout
    tmp_path.chmod(0o755)
    # The folder itself is named where another user may not even look into it.
    assert said.removeprefix(str(tmp_path)).removeprefix("/x") == (
        " cannot be written (you may not write there): choose another `outputs_dir`; "
        "what was written before is kept.\n"
    )


WAYS = {
    "put": lambda path: writing.put(path, "text"),
    "create": lambda path: writing.create(path, "text"),
    "journal": lambda path: folder.Journal(path),
    "lock": lambda path: folder.locked(path).__enter__(),
    "manifest": lambda path: folder.write_manifest(path, {"questions": []}),
    "rewrite": lambda path: folder.rewrite(path, [{}]),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_file_in_the_place_of_a_folder_is_a_sentence(way, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(Unwritable) as caught:
        way(tmp_path / "file" / "x")
    assert str(caught.value).endswith(
        " cannot be written (a file is in its place): move that away, or choose "
        "another `outputs_dir`; what was written before is kept."
    )
    assert str(tmp_path / "file") in str(caught.value)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("way", ["put", "create", "journal"])
def test_a_folder_in_the_place_of_a_file_is_a_sentence(way, tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(
        Unwritable, match=r"/x cannot be written \(a (folder|file) is in"
    ):
        WAYS[way](tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (errno.ENOSPC, "the disk is full): make room"),
        (errno.EDQUOT, "your share of the disk is full): make room"),
        (errno.EFBIG, "files may not grow larger here): make room"),
        (errno.EROFS, "the disk is read-only): choose another `outputs_dir`"),
        (errno.EACCES, "you may not write there): choose another"),
        (errno.EPERM, "you may not write there): choose another"),
        (errno.ENAMETOOLONG, "the name is too long): choose another"),
        (errno.EIO, "Input/output error): choose another"),
    ],
)
def test_every_trouble_is_one_sentence_with_a_way_on(trouble, says, tmp_path):
    with pytest.raises(Unwritable) as caught, writing.guarded(tmp_path / "x"):
        raise OSError(trouble, os.strerror(trouble))
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/x cannot be written ({says}")
    assert told.endswith("; what was written before is kept.")


def test_a_name_that_is_too_long_is_told_by_the_system_itself(tmp_path):
    with pytest.raises(Unwritable, match="the name is too long"):
        writing.put(tmp_path / ("x" * 300), "text")


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "page.html"
    writing.put(path, "old")
    code = """
import resource
from pathlib import Path
from igaku import writing
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for write, name in ((writing.put, "page.html"), (writing.create, "study.yaml")):
    try:
        write(Path(name), "x" * 1000)
    except writing.Unwritable as told:
        print(told)
"""
    said = run([sys.executable, "-c", code], cwd=tmp_path).stdout
    assert said.count("cannot be written (files may not grow larger") == 2
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_what_is_created_is_never_put_in_the_place_of_another(tmp_path):
    writing.create(tmp_path / "study.yaml", "a: 1\n")
    with pytest.raises(Unwritable, match="a file is in its place"):
        writing.create(tmp_path / "study.yaml", "a: 2\n")
    assert (tmp_path / "study.yaml").read_text() == "a: 1\n"


def test_room_that_is_held_back_has_no_name_and_is_given_back(tmp_path):
    with writing.reserved(tmp_path, 200_000) as room:
        assert os.fstat(room.fileno()).st_blocks * 512 >= 200_000
        assert list(tmp_path.iterdir()) == []
    assert room.closed


# --- strict JSON ----------------------------------------------------------------------


def no_constant(name):
    raise ValueError(name)


def test_what_is_no_number_in_json_is_its_name():
    row = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": 1.5, "e": None}
    read = json.loads(writing.as_line(row), parse_constant=no_constant)
    assert read == {
        "a": "NaN",
        "b": ["Infinity", {"c": "-Infinity"}],
        "d": 1.5,
        "e": None,
    }
    assert (
        json.loads(writing.as_json(row, indent=1), parse_constant=no_constant) == read
    )


def test_a_server_that_counts_in_infinities_leaves_strict_files(disk_at, tmp_path):
    body = (
        b'{"choices": [{"message": {"content": "c"}, "score": NaN}], '
        b'"model": "stand-in", '
        b'"usage": {"completion_tokens": Infinity, "prompt_tokens": -Infinity}}'
    )
    with StandIn(lambda asked, n: Answer(body=body)) as server:
        server.facts = {"/props": {"build_info": "b", "loss": math.nan}}
        disk = disk_at(tmp_path)
        assert disk.ask(server, number=3).returncode == 0
    for path in tmp_path.rglob("*.json*"):
        texts = path.read_text().splitlines()
        for text in texts if path.suffix == ".jsonl" else ["\n".join(texts)]:
            json.loads(text, parse_constant=no_constant)
    row = next(iter(disk.rows().values()))
    assert row["raw"]["choices"][0]["score"] == "NaN" and row["outcome"] == "answered"
    assert row["completion_tokens"] is None and row["prompt_tokens"] is None


def test_half_a_character_stays_in_a_row_and_out_of_a_page(tmp_path):
    line = writing.as_line({"content": "c \ud83d"})
    assert json.loads(line) == {"content": "c \ud83d"}
    writing.put(tmp_path / "x", "c \ud83d")
    assert (tmp_path / "x").read_text() == "c ?"


# --- the command ----------------------------------------------------------------------


def test_an_output_that_cannot_be_written_is_one_sentence():
    with Path("/dev/full").open("w") as full:
        done = run([sys.executable, "-m", "igaku.cli", "--help"], stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "igaku: the output cannot be written (the disk is full): make room, then run "
        "again; what was written before is kept.\n"
    )


def test_a_notebook_for_which_there_is_no_room_is_named(tmp_path):
    script = """
import resource, sys
from pathlib import Path
from igaku import workbook
from igaku.errors import IgakuError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    workbook.execute("run.ipynb", Path(sys.argv[1]), {"model": "m"})
except IgakuError as told:
    print(told)
"""
    output = tmp_path / "m" / "run.ipynb"
    said = run([sys.executable, "-c", script, str(output)]).stdout
    assert said == (
        f"{output} cannot be written (files may not grow larger here): make room, then "
        "run again; what was written before is kept.\n"
    )
