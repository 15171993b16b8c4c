"""Four variants overnight on a stand-in of LM Studio, where three of them go wrong."""

import html
import re

import pytest
import yaml
from lm_studio import TOO_BIG, Fault, LMStudio

import igaku
from igaku import workbook
from igaku.ask import run
from igaku.ask.folder import ANSWERS
from igaku.ask.rows import read_rows
from igaku.ask.shape import read_manifest
from igaku.errors import IgakuError
from igaku.pages.index import write_index
from igaku.params.settings import settings_from
from igaku.sweep import lanes
from igaku.sweep.file import read_sweep

MODELS = (
    "openai-8bit",
    "openai-mxfp4-gguf",
    "inferenceillusionist-4bit",
    "safeguard-mxfp4",
)
FAULTS = {
    "openai/gpt-oss-20b@mxfp4": Fault(loads="openai/gpt-oss-20b@8bit"),
    "inferenceillusionist/gpt-oss-20b-mlx": Fault(refuses=TOO_BIG),
    # One trial reply and twelve at two efforts come before the first question.
    "gpt-oss-safeguard-20b-mlx": Fault(crashes_after=13),
}
N = 18
papermill = workbook.execution


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The sweep, made once: its folder, its server, and how it ended."""
    place = tmp_path_factory.mktemp("swept")
    with (
        LMStudio(answer=answer, faults=FAULTS) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(workbook, "execution", made(server))
        told = {
            "models": list(MODELS),
            "endpoints": [server.base_url],
            "exams": ["calibration"],
            "efforts": ["low"],
            "settings": {"load": True, "shots": 0, "limit": N, "concurrency": 1},
        }
        (place / "night.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
        with pytest.raises(IgakuError) as ended:
            lanes.sweep(plan(place), analyse=False)
        yield place / "outputs", server, str(ended.value)


def made(server):
    """papermill for the wrong model; what else there is is made without it."""

    def execution(notebook, output, parameters, watch, keep):
        settings = settings_from(**{k: v for k, v in parameters.items() if k != "lang"})
        fault = server.faults.get(settings.model)
        if fault and fault.loads:
            return papermill(notebook, output, parameters, watch, keep)
        try:
            with run.server_of(settings) as served:
                served.run_exam(run.questions_of(settings), progress=False)
        except IgakuError as told:
            return 1, f"{type(told).__name__}: {told}"  # as papermill's log ends
        return 0, ""

    return execution


def plan(place):
    return read_sweep(str(place / "night.yaml"), place / "outputs")


def answer(asked, number):
    return "ab"[number % 2]


def row_of(outputs, slug):
    """The report's row of one model, its cells in order."""
    page = (outputs / "sweep-night.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    row = next(row for row in rows if f"{slug}-calibration</th>" in row)
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
    return list(map(html.unescape, cells))


def reason_of(outputs, slug):
    """The sentence that the report gives for what went wrong with one model."""
    page = (outputs / "sweep-night.html").read_text(encoding="utf-8")
    told = re.search(f"<p>({slug}-calibration: .*)</p>", page)[1]
    return html.unescape(told)


def test_one_goes_through(swept):
    outputs, _, _ = swept
    _, state, story, asked, _, _, attempts, _ = row_of(outputs, "openai-8bit")
    assert (state, asked, attempts, story) == ("done", f"{N}/{N}", "1", "–")
    found = read_manifest(outputs / "openai-8bit-calibration")
    assert found["identity"]["status"] == "verified"
    assert (found["effort"]["told_by"], found["effort"]["shown"]) == ("system", True)


def test_one_is_another_model_and_is_asked_nothing(swept):
    outputs, _, why = swept
    _, state, story, asked, _, _, attempts, _ = row_of(outputs, "openai-mxfp4-gguf")
    assert (state, story) == ("failed", "wrong model")
    assert (asked, attempts) == (f"0/{N}", "1")
    assert "format mlx, not GGUF" in reason_of(outputs, "openai-mxfp4-gguf")
    assert "openai-mxfp4-gguf-calibration" in why
    assert not (outputs / "openai-mxfp4-gguf-calibration" / ANSWERS).exists()


def test_one_is_not_loaded(swept):
    outputs, _, why = swept
    row = row_of(outputs, "inferenceillusionist-4bit")
    assert (row[1], row[2]) == ("failed", "not loaded")
    assert (row[3], row[6]) == (f"0/{N}", "1")
    told = reason_of(outputs, "inferenceillusionist-4bit")
    assert "too big for the memory" in told
    assert "inferenceillusionist-4bit-calibration" in why


def test_one_crashes_in_the_middle_and_is_finished(swept):
    outputs, _, why = swept
    row = row_of(outputs, "safeguard-mxfp4")
    assert (row[1], row[3]) == ("done", f"{N}/{N}")
    told = r"crashed after \d+ questions; loaded again, finished"
    assert re.fullmatch(told, row[2])
    assert "Channel Error" in reason_of(outputs, "safeguard-mxfp4")
    assert "safeguard" not in why
    path = outputs / "safeguard-mxfp4-calibration" / ANSWERS
    rows = read_rows(path, ("raw", "content", "error"))
    assert len({r["problem_id"] for r in rows}) == N
    assert all(r["outcome"] != "api_error" for r in rows)


def test_nothing_is_left_in_memory(swept):
    _, server, _ = swept
    assert server.loaded == []


def test_the_comparison_names_what_was_not_measured(swept):
    outputs, _, _ = swept
    told = igaku.audit(outputs).query("kind == 'not_measured'").text
    for slug in ("openai-mxfp4-gguf", "inferenceillusionist-4bit"):
        assert re.search(f"{slug}-calibration.*was not measured", " ".join(told))
    index = write_index(outputs, "en").read_text(encoding="utf-8")
    assert "inferenceillusionist-4bit-calibration" in index


def test_once_that_is_mended_the_same_command_asks_only_what_failed(swept):
    """The last test: it goes on with what the others look at."""
    outputs, server, _ = swept
    asked, server.faults = len(server.asked), {}
    before = {path: path.read_bytes() for path in outputs.glob(f"*/{ANSWERS}")}
    lanes.sweep(plan(outputs.parent), analyse=False)
    assert all(path.read_bytes() == kept for path, kept in before.items())
    new = {body["model"] for _, body in server.asked[asked:]}
    assert new == {"openai/gpt-oss-20b", "inferenceillusionist/gpt-oss-20b-mlx"}
    assert row_of(outputs, "openai-mxfp4-gguf")[1] == "done"
    found = read_manifest(outputs / "openai-mxfp4-gguf-calibration")
    assert found["identity"]["fingerprint"]["variant"] == "mxfp4"
