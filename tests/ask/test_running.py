"""A run that is being asked: what is said of it meanwhile, and once it was killed."""

import re
import subprocess
import sys
import threading

import pytest
from stand_in import StandIn, cut

import igaku
from igaku.ask import run
from igaku.ask.folder import holder, locked
from igaku.exam.questions import load_exam
from igaku.pages.index import write_index
from igaku.params.settings import settings_from
from igaku.study.overview import listing
from igaku.study.runs import load_run

SIZED = {"data": [{"id": "stand-in", "meta": {"size": 1_000_000}}]}
OF_CARD = {"tensor_bytes": 1_000_000}
ASKING = """
import sys
from igaku.ask import run
from igaku.params.settings import settings_from
settings = settings_from(
    base_url=sys.argv[1], outputs_dir=sys.argv[2], run="r", model="stand-in",
    exam="calibration", shots=0, limit=20,
)
run.run_exam(settings, run.questions_of(settings), progress=False)
"""


@pytest.fixture(scope="module")
def questions():
    return load_exam("calibration")[:20]


def asked(server, questions, tmp_path, **given):
    given = {"model": "stand-in", "exam": "calibration", "shots": 0} | given
    where = {"base_url": server.base_url, "outputs_dir": tmp_path, "run": "r"}
    run.run_exam(settings_from(**where, **given), questions, progress=False)


def seen(tmp_path):
    """What a run's row, the list, the run itself and the index say of it now."""
    row, listed = igaku.runs(tmp_path).iloc[0], listing(tmp_path).iloc[0]
    page = write_index(tmp_path).read_text("utf-8").partition("<tbody>")[2]
    words = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))
    told = {row["status"], listed["status"]}, {row["identity"], listed["identity"]}
    return *told, repr(load_run(tmp_path / "r")), words


def watched(tmp_path, at):
    """A server that looks at the run when a request of these numbers comes in."""
    found = {}

    def reply(body, number):
        if number in at:
            found[number] = seen(tmp_path)
        return cut(body)

    return StandIn(reply), found


def test_a_run_is_running_until_it_ends(questions, tmp_path):
    """Its replies are lost one and all, which is for its end to judge."""
    server, found = watched(tmp_path, (12, 15))
    with server:
        asked(server, questions, tmp_path, stop_when_broken=False)
    for states, identities, told, page in found.values():
        assert states == {"RUNNING"} and identities == {"unverified"}
        assert "running" in page and "BROKEN" not in page + told
    states, _, told, page = seen(tmp_path)
    assert states == {"BROKEN"} and "running" not in page and "BROKEN" in told


def test_weights_are_not_settled_before_a_reply_and_settled_with_the_first(
    questions, tmp_path
):
    server, found = watched(tmp_path, (1, 3))
    with server:
        asked(server, questions, tmp_path)
    (_, first, _, page), (_, later, _, marked) = found[1], found[3]
    assert first == {"unsettled"} and "not settled yet" in page
    assert "†" not in page and later == {"unverified"} and "†" in marked


def test_weights_that_the_server_names_are_verified_from_the_first_question(
    questions, tmp_path
):
    server, found = watched(tmp_path, (2, 12))
    server.facts["/v1/models"] = SIZED
    with server:
        asked(server, questions, tmp_path, card=OF_CARD)
    assert [told[1] for told in found.values()] == [{"verified"}, {"verified"}]
    assert seen(tmp_path)[1] == {"verified"}


def test_a_killed_run_is_unfinished_and_keeps_what_was_known_of_its_weights(tmp_path):
    reached, free = threading.Event(), threading.Event()

    def reply(body, number):
        if number == 5:
            reached.set()
            free.wait(60)
        return cut(body)

    with StandIn(reply) as server:
        command = [sys.executable, "-c", ASKING, server.base_url, str(tmp_path)]
        process = subprocess.Popen(command)
        try:
            assert reached.wait(100)
            assert holder(tmp_path / "r") == str(process.pid)
            assert seen(tmp_path)[0] == {"RUNNING"}
        finally:
            process.kill()
            process.wait()
            free.set()
    states, identities, _, _ = seen(tmp_path)
    assert states == {"INCOMPLETE"} and identities == {"unverified"}
    assert load_run(tmp_path / "r").manifest["identity"]["status"] == "unverified"


def test_whoever_looks_at_a_run_keeps_nobody_from_asking(tmp_path):
    """As a page may be made again and again while a run is started."""
    ended = threading.Event()

    def look():
        while not ended.is_set():
            holder(tmp_path)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            with locked(tmp_path):
                pass
    finally:
        ended.set()
        watcher.join()
