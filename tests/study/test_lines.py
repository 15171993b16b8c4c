import pytest
from runs import planned, replied, sit

import igaku
from igaku.study.lines import official_of
from igaku.study.runs import load_run


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The recorded answers, as runs."""
    folder = tmp_path_factory.mktemp("recorded")

    def _imported(shared, slug, pattern, year=2022):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
            files = sorted((shared / "data").glob(pattern))
            return load_run(igaku.import_recorded(files, folder, slug, year=year))

    return _imported


@pytest.mark.parametrize(
    ("system", "year", "compulsory", "rest", "passed"),
    [  # IgakuQA's points, as its authors and others have published them
        ("gpt4", 2022, 164, 228, True),
        ("chatgpt", 2022, 124, 163, False),
        ("gpt3", 2022, 106, 111, False),
        ("translate_chatgpt-en", 2022, 140, 187, False),
        ("student-majority", 2022, 195, 287, True),
        ("gpt4", 2018, 161, 221, True),
        ("chatgpt", 2018, 123, 143, False),
        ("student-majority", 2018, 196, 276, True),
    ],
)
def test_points_of_published_systems(
    shared, imported, system, year, compulsory, rest, passed
):
    pattern = f"igakuqa/baseline_results/{year}/*_{system}.jsonl"
    run = imported(shared, f"{system}-{year}", pattern, year)
    found = judged(run)
    assert found["points"][["compulsory", "rest"]].tolist() == [compulsory, rest]
    assert found["points"]["total"] == compulsory + rest
    assert found["passed"]["total"] == passed
    assert set(found["verified"]) == {year == 2022}


def judged(run):
    return official_of(run).set_index("part")


def test_the_recorded_8bit_row_misses_both_lines(shared, imported):
    found = judged(imported(shared, "eight", "recorded/gpt-oss-20b-gguf_2022_*.json"))
    columns = ["points", "possible", "line", "passed"]
    assert found.loc["compulsory", columns].tolist() == [153, 197, 158, False]
    assert found.loc["rest", columns].tolist() == [211, 297, 214, False]
    # 116C67's 禁忌 option is a full-width letter in IgakuQA, which counts as one.
    assert found["kinki"]["kinki"] == ("116C67", "116E44")
    assert found.loc["kinki", ["points", "line", "passed"]].tolist() == [2, 3, True]
    assert found.loc["total", columns].isna().tolist() == [False, False, True, False]
    assert found.loc["total", "possible"] == 494 and not found["passed"]["total"]


def test_an_unfinished_run_has_bounds_and_no_verdict(tmp_path):
    sit(tmp_path, [True] * 17 + [False] * 108 + [None] * 275)
    assert igaku.study.official(tmp_path).empty
    (row,) = igaku.runs(tmp_path).itertuples()
    assert (row.right, row.right + row.planned - row.asked) == (17, 292)
    assert row.planned == 400


def test_lost_replies_widen_the_bounds_on_their_own(tmp_path):
    rows = [replied(q) for q in planned(10)]
    rows += [
        replied(q, False, outcome="truncated", content="") for q in planned(15)[10:]
    ]
    sit(tmp_path, None, questions=planned(), rows=rows)
    (row,) = igaku.runs(tmp_path).itertuples()
    highest = row.right + row.planned - row.asked
    assert (highest, row.lost, highest + row.lost) == (395, 5, 400)


def weighted(**changes):
    """Exam 116's questions with 197 points in B and E, as the real ones have."""
    single = ("116B6", "116E16", "116B1")
    return [
        q | changes | {"points": 2}
        if q["section"] in "BE" and q["problem_id"] not in single
        else q | changes
        for q in planned()
    ]


@pytest.mark.parametrize(("chosen", "passed"), [(3, True), (4, False)])
def test_three_prohibited_choices_pass_and_four_do_not(tmp_path, chosen, passed):
    questions = weighted(kinki=["b"])
    run = sit(tmp_path, [i >= chosen for i in range(400)], questions=questions)
    found = judged(run)
    assert found["possible"]["compulsory"] == 197
    assert len(found["kinki"]["kinki"]) == found["points"]["kinki"] == chosen
    assert found["passed"]["kinki"] == found["passed"]["total"] == passed


def test_the_lab_and_parts_of_an_exam_are_not_judged(tmp_path):
    assert official_of(sit(tmp_path, [True] * 400, "lab", origin="lab")) is None
    assert official_of(sit(tmp_path, [True] * 40, "part")) is None


def test_any_answer_to_116A71_earns_its_points(tmp_path):
    right = [q["problem_id"] != "116A71" for q in planned()]
    found = judged(sit(tmp_path, right))
    assert found.loc["total", ["points", "possible"]].tolist() == [400, 400]


@pytest.mark.parametrize(("wrong", "hinges"), [(19, True), (30, False)])
def test_a_verdict_that_hinges_on_unsure_questions_says_so(tmp_path, wrong, hinges):
    unsure = ("116B6", "116E16")
    pairs = [q["problem_id"] for q in weighted() if q["points"] == 2]
    missed = {*unsure, *pairs[:wrong]}
    rights = [q["problem_id"] not in missed for q in planned()]
    found = judged(sit(tmp_path, rights, questions=weighted()))
    # One short of 158, or more.
    assert found["points"]["compulsory"] == 195 - 2 * wrong
    assert not found["passed"]["total"]
    assert found["hinges"]["total"] == (unsure if hinges else ())


def test_the_frame_names_the_run_and_its_label(tmp_path):
    sit(tmp_path, [True] * 400, "one", card={"label": "いち", "label_en": "One"})
    found = igaku.study.official(tmp_path)
    assert found["part"].tolist() == ["compulsory", "rest", "kinki", "total"]
    assert set(found["run"]) == {"one"} and set(found["label"]) == {"One"}
