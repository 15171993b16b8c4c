import json

import pytest

from igaku.exam.questions import Question
from igaku.params.settings import settings_from
from igaku.study import scoring
from igaku.study.runs import load_run

SIZES = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
RECORDED = {
    "gguf": 286,
    "openai-mxfp4-gguf": 284,
    "mlx-q4": 17,
    "inferenceill": 7,
    "safeguard": 27,
}


def planned(sizes=SIZES, exam=116):
    return [
        {"problem_id": f"{exam}{s}{i}", "section": s, "gold": ["a"]}
        for s, n in sizes.items()
        for i in range(1, n + 1)
    ]


def line(question, outcome="answered", correct=True, content="a", **changes):
    kept = {"problem_id": question["problem_id"], "section": question["section"]}
    return kept | {
        "outcome": outcome,
        "correct": correct,
        "content": content,
        "asked_at": "2026-02-07T10:00:00Z",
        **changes,
    }


@pytest.fixture
def make(tmp_path):
    def _make(lines, questions=None, **about):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in lines)
        (folder / "answers.jsonl").write_text(text)
        settings = {"model": "m", "exam": 2022, "max_tokens": 100}
        whole = {"settings": settings, "questions": questions or planned()} | about
        (folder / "manifest.json").write_text(json.dumps(whole))
        return load_run(folder)

    return _make


def recorded(shared, make, stem):
    questions, lines = [], []
    for section in SIZES:
        for row in (shared / f"data/igakuqa/2022/116-{section}.jsonl").open():
            question = Question.from_record(json.loads(row))
            kept = {"problem_id": question.problem_id, "section": question.section}
            questions.append(kept | {"gold": list(question.answer)})
        path = shared / f"data/recorded/gpt-oss-20b-{stem}_2022_{section}.json"
        if path.is_file():
            lines += _recorded_lines(
                json.loads(path.read_text())["details"]["baseline"]
            )
    return make(lines, questions)


def _recorded_lines(rows):
    for row in rows:
        text = row.get("response") or ""
        outcome = "answered" if text.strip() else "empty"
        outcome = "api_error" if row.get("error") else outcome
        yield {
            "problem_id": row["problem_id"],
            "section": row["problem_id"][3],
            "outcome": outcome,
            "correct": row["correct"],
            "content": text,
        }


@pytest.mark.parametrize(("stem", "right"), RECORDED.items())
def test_the_recorded_runs_give_the_seeds_totals(shared, make, stem, right):
    run = recorded(shared, make, stem)
    assert scoring.section_counts(run).loc["Total", "correct"] == right


@pytest.mark.parametrize(
    ("stem", "blank", "errors", "status"),
    [
        ("gguf", 0, 0, "OK"),
        ("mlx-q4", 87, 5, "BROKEN"),
        ("inferenceill", 58, 0, "BROKEN"),
        ("safeguard", 39, 6, "BROKEN"),
    ],
)
def test_blank_replies_and_api_errors_are_counted_apart(
    shared, make, stem, blank, errors, status
):
    run = recorded(shared, make, stem)
    total = scoring.section_counts(run).loc["Total"]
    assert (total["blank"], total["api_errors"]) == (blank, errors)
    assert scoring.status(run).name == status


def test_the_section_table_is_printed_as_the_seed_prints_it(shared, make):
    table = scoring.section_table(recorded(shared, make, "openai-mxfp4-gguf"))
    assert list(table.columns)[-2:] == ["F (75)", "Total (400)"]
    assert table.loc["正答数"].tolist() == ["57", "37", "49", "58", "37", "46", "284"]
    assert table.loc["正答率"].tolist() == [
        "76.0%", "74.0%", "65.3%", "77.3%", "74.0%", "61.3%", "71.0%",
    ]  # fmt: skip
    assert set(table.loc["空回答"]) == {"0"}
    assert "APIエラー" in table.index


def test_sections_not_run_say_so_and_are_never_zero(make):
    lines = [line(q, correct=False) for q in planned()[:80]]
    table = scoring.section_table(make(lines), "en")
    assert list(table.columns)[:3] == ["A (75)", "B (5/50)", "C (75)"]
    assert set(table["C (75)"]) == {"not run"}
    assert table.loc["Correct", "B (5/50)"] == "0"
    assert table["Total (80/400)"].tolist() == ["0", "0.0%", "0", "0"]


def test_a_run_of_some_sections_has_no_number_for_the_others(make):
    questions = planned({"A": 3})
    table = scoring.section_table(make([line(q) for q in questions], questions))
    assert table["A (3)"].tolist() == ["3", "100.0%", "0", "0"]
    assert set(table["B"]) == {"未実施"}


def test_pass_and_fail_are_for_the_whole_exam_only(make):
    whole = planned()
    lines = [line(q, correct=i < 300) for i, q in enumerate(whole)]
    assert scoring.verdict(make(lines)) == "PASS"
    lines[299]["correct"] = False
    run = make(lines)
    assert scoring.verdict(run) == "FAIL"
    assert scoring.points_short(run) == 1
    assert scoring.verdict(make(lines[:399])) is None
    assert scoring.verdict(make(lines, origin="lab")) is None
    assert scoring.verdict(make(lines, status="BROKEN", cause="budget")) is None
    assert scoring.verdict(make([line(q) for q in whole[:40]], whole[:40])) is None


def test_the_calibration_exam_has_no_verdict(make):
    settings = {"model": "m", "exam": "calibration"}
    run = make(
        [line(q) for q in planned(exam=900)], planned(exam=900), settings=settings
    )
    assert run.is_complete
    assert scoring.verdict(run) is None


def test_status_follows_the_replies(make):
    questions = planned()
    assert scoring.status(make([])).name == "INCOMPLETE"
    assert scoring.status(make([line(q) for q in questions[:10]])).name == "INCOMPLETE"
    assert scoring.status(make([line(q) for q in questions])).name == "OK"
    cut = [line(q, "truncated", False, "") for q in questions[:12]]
    failed = [line(q, "api_error", None, None) for q in questions[12:15]]
    assert str(scoring.status(make(cut + failed))) == "BROKEN (budget)"


def test_a_manifest_that_says_ok_does_not_hide_a_broken_run(make):
    lines = [line(q, "empty", False, " \n") for q in planned()]
    assert str(scoring.status(make(lines, status="OK"))) == "BROKEN (output)"


def test_a_failed_request_is_no_wrong_answer_to_the_tables(make):
    lines = [line(q, "api_error", None, None) for q in planned()[:1]]
    counts = scoring.section_counts(make(lines)).loc["A"]
    assert (counts["asked"], counts["correct"], counts["blank"]) == (1, 0, 0)


def test_wilson_interval_of_the_seeds_best_score():
    low, high = scoring.interval(286, 400)
    assert (round(low, 4), round(high, 4)) == (0.6689, 0.7570)
    assert scoring.interval(0, 0) == (0.0, 1.0)


def test_token_use_against_the_budget(make):
    questions = planned()
    lines = [
        line(q, completion_tokens=n)
        for q, n in zip(questions, [10, 20, 30], strict=False)
    ]
    lines += [
        line(q, "truncated", False, "", completion_tokens=99) for q in questions[3:5]
    ]
    lines += [line(q, "api_error", None, None) for q in questions[5:6]]
    use = scoring.token_use(make(lines).rows, 100)
    assert use.index.tolist() == ["answered", "truncated", "api_error", "Total"]
    assert use.loc["truncated", ["at_cap", "median"]].tolist() == [2, 99.0]
    assert use.loc["answered", "at_cap"] == 0
    assert use.loc["Total", ["n", "counted", "max"]].tolist() == [6, 5, 99.0]
    assert use["median"].isna()["api_error"]


def test_tokens_that_no_server_counted_are_unknown(make):
    use = scoring.token_use(make([line(planned()[0])]).rows, 100)
    assert use.loc["Total"].drop(["n", "counted"]).isna().all()


def test_summary_has_a_row_per_run(make):
    run = make([line(q) for q in planned()], card={"format": "GGUF", "size_gb": 12.11})
    row = scoring.summary([run]).iloc[0]
    assert (row["accuracy"], row["verdict"], row["format"]) == (1.0, "PASS", "GGUF")
    assert scoring.summary([]).empty


def test_summary_tells_the_downloads_that_a_shipped_card_holds(make):
    card = settings_from(model="openai-mxfp4-gguf").card
    row = scoring.summary([make([line(planned()[0])], card=card)]).iloc[0]
    assert row["hf_downloads"] == card["downloads"] == 157984
    assert row["size_gb"] == card["size_gb"]
