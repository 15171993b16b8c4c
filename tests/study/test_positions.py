"""Runs whose choices were shuffled, asked over HTTP: answers, readings, comparison."""

import json
import re
from functools import partial

import pytest
from runs import sit as by_hand
from stand_in import Answer, StandIn

import igaku
from igaku import study
from igaku.ask import folder, run
from igaku.errors import IgakuError
from igaku.params.settings import settings_from
from igaku.study.adjudication import ADJUDICATED
from igaku.study.evidence import wrong_grades
from igaku.study.families import open_study

QUESTIONS = igaku.load_exam("calibration")
LINE = re.compile(r"([a-h])\.\s*(.+)")


def seen(asked):
    """The question of a request, and the texts behind the letters it shows."""
    words = asked["messages"][-1]["content"]
    letters = {text: letter for letter, text in LINE.findall(words)}
    met = (q for q in QUESTIONS if q.text in words and {*q.choices} == {*letters})
    return next(met), letters


def knowing(asked, number):
    """A model that knows the right texts, and names them by the letters it sees."""
    question, letters = seen(asked)
    if not question.choices:
        return Answer(question.answer[0])
    texts = [question.choices["abcdef".index(letter)] for letter in question.answer]
    return Answer(",".join(sorted(letters[text] for text in texts)))


def always(asked, number):
    return Answer("a")


def sit(outputs, behave, order="as_released", name="m", **given):
    """Ask 40 questions under an order; the folder of the run."""
    told = {"slug": name, "run": f"{name}-{order}", "exam": "calibration"}
    told |= {"choice_order": order, "limit": 40, "outputs_dir": outputs}
    with StandIn(behave) as server:
        address = {"model": "stand-in", "base_url": server.base_url}
        settings = settings_from(**address | told | given)
        return run.run_exam(settings, run.questions_of(settings), progress=False)


@pytest.fixture
def ask(tmp_path):
    return partial(sit, tmp_path)


def rows_of(place):
    return [json.loads(line) for line in (place / "answers.jsonl").open("rb")]


def planned(place):
    told = json.loads((place / "manifest.json").read_bytes())["questions"]
    return {question["problem_id"]: question for question in told}


# --- asking ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_who_knows_the_text_is_right_under_each_seed(ask, seed):
    place = ask(knowing, seed)
    assert all(row["correct"] for row in rows_of(place))
    shown = {
        name: q["shown_as"] for name, q in planned(place).items() if "shown_as" in q
    }
    assert len(shown) > 30
    for row in rows_of(place):  # stored are the exam's letters; the text has the shown
        gold = planned(place)[row["problem_id"]]["gold"]
        assert row["answer"] == gold
        if order := shown.get(row["problem_id"]):
            said = sorted(order["abcdef".index(a)] for a in row["content"].split(","))
            assert said == gold
            assert row["raw"]["choices"][0]["message"]["content"] == row["content"]
    frame = igaku.load_runs(place.parent).set_index("problem_id")["shown_as"]
    assert frame.dropna().to_dict() == shown


@pytest.mark.parametrize("order", ["as_released", 0, 1])
def test_who_always_says_a_gets_what_stands_behind_a(ask, order):
    place = ask(always, order)
    told = planned(place).values()
    behind = [q for q in told if q["gold"] == [q.get("shown_as", "a")[0]]]
    right = {row["problem_id"] for row in rows_of(place) if row["correct"]}
    assert right == {q["problem_id"] for q in behind} and right


def test_the_prompt_shows_the_order_and_the_examples_stay(ask, tmp_path):
    told = {}
    for order in ("as_released", 1):
        bodies = []
        ask(lambda asked, n: bodies.append(asked) or Answer("a"), order)  # noqa: B023
        told[order] = {seen(b)[0].problem_id: b["messages"] for b in bodies}
    moved = 0
    for name, messages in told["as_released"].items():
        assert messages[:-1] == told[1][name][:-1]
        one, two = (m[-1]["content"].splitlines() for m in (messages, told[1][name]))
        texts = [sorted(LINE.sub(r"\2", line) for line in each) for each in (one, two)]
        assert texts[0] == texts[1]
        moved += one != two
    assert moved > 30


def test_a_run_keeps_its_order(ask):
    place = ask(knowing, 1)
    with pytest.raises(IgakuError, match=r"choice_order \(1, now 2\)"):
        ask(knowing, 2, run=place.name)


def test_a_folder_that_does_not_tell_was_asked_as_released(ask):
    place = ask(knowing)
    folder.rewrite(place / "answers.jsonl", rows_of(place)[:9])
    told = json.loads((place / "manifest.json").read_bytes())
    for part in ("condition", "settings"):
        del told[part]["choice_order"]  # as earlier versions wrote it
    folder.write_manifest(place, told)
    ask(knowing)
    assert len(rows_of(place)) == 40
    with pytest.raises(IgakuError, match=r"choice_order \(as_released, now 2\)"):
        ask(knowing, 2, run=place.name)


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "shuffled", [1]])
def test_any_other_order_is_refused_in_a_sentence(wrong):
    with pytest.raises(IgakuError, match=r"must be as_released, or a whole number"):
        settings_from(model="m", choice_order=wrong)


# --- reading again --------------------------------------------------------------------


def quoting(asked, number):
    """A model that names letter and text, some of them in a sentence of its own."""
    question, letters = seen(asked)
    if not question.choices:
        return Answer(f"答えは {question.answer[0]} です。")
    texts = [question.choices["abcdef".index(letter)] for letter in question.answer]
    named = "、".join(f"{letters[text]}. {text}" for text in texts)
    return Answer(f"順に並べると分かる。\n正解: {named}")


@pytest.mark.parametrize("behave", [knowing, quoting])
def test_replies_are_read_again_in_the_order_they_were_asked(ask, behave):
    place = ask(behave, 1)
    rows = rows_of(place)
    first = igaku.load_runs(place.parent)
    assert all(row["correct"] for row in rows)
    folder.rewrite(place / "answers.jsonl", [row | {"reader": 0} for row in rows])
    again = igaku.load_runs(place.parent)
    for name in ("outcome", "answer", "correct", "permissive", "second", "rule"):
        assert again[name].tolist() == first[name].tolist()
    assert not again["reread"].any() and not again["doubtful"].any()


def test_a_wrong_letter_in_the_file_is_found(ask):
    place = ask(knowing, 1)
    assert list(wrong_grades(open_study(place.parent))) == []
    rows = rows_of(place)
    other = [r | {"answer": [r["content"]]} if r["correct"] else r for r in rows]
    folder.rewrite(place / "answers.jsonl", other)
    assert len(list(wrong_grades(open_study(place.parent)))) == 1


def test_what_a_human_decides_is_the_exams_letter(ask):
    place = ask(lambda asked, n: Answer("胃のあたり"), 1, stop_when_broken=False)
    told = planned(place)
    name = next(
        n for n, q in told.items() if "shown_as" in q and q["shown_as"][0] != "a"
    )
    gold = "".join(told[name]["gold"])
    decided = f"problem_id,answer,outcome,by,note\n{name},{gold},,me,\n"
    (place / ADJUDICATED).write_text(decided)
    (row,) = igaku.doubtful(place.parent).query("adjudicated").to_dict("records")
    assert row["decided"] == tuple(told[name]["gold"])
    question = next(q for q in QUESTIONS if q.problem_id == name)
    order = told[name]["shown_as"]
    first = question.choices["abcdef".index(order[0])]
    assert row["choices"].splitlines()[0] == f"a = {order[0]}. {first}"
    found = igaku.load_runs(place.parent).set_index("problem_id").loc[name]
    assert found["correct"] and found["answer"] == tuple(told[name]["gold"])


# --- comparing ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orders")
    for order in ("as_released", 1, 2):
        sit(folder, knowing, order, "sure")
        sit(folder, always, order, "blind")
    return folder


def test_orders_are_repeats_and_variants_meet_under_one_order(asked):
    pairs = igaku.pairs(asked).set_index(["reference", "candidate"])["family"]
    for name in ("sure", "blind"):
        for one, two in (("as_released", 1), ("as_released", 2), (1, 2)):
            assert pairs[f"{name}-{one}", f"{name}-{two}"] == "repeats"
    main = pairs[pairs == "finished"].index.tolist()
    assert [{*pair} for pair in main] == [{"sure-as_released", "blind-as_released"}]
    runs = igaku.runs(asked).set_index("run")
    assert runs.loc["sure-2", "label"].endswith("(choice_order 2)")
    assert runs["counted"].all()  # the same letters, of other choices, are no copy
    kinds = set(igaku.audit(asked)["kind"])
    assert not kinds & {"other_settings", "identical_replies", "wrong_grades"}


def test_two_variants_under_two_orders_are_no_main_pair(ask, tmp_path):
    ask(knowing, 1, "sure")
    ask(always, 2, "blind")
    assert igaku.pairs(tmp_path)["family"].tolist() == ["settings"]
    assert "other_settings" in set(igaku.audit(tmp_path)["kind"])


def test_variants_are_pooled_over_the_orders_that_both_had(tmp_path):
    def asked(name, order, wrong):
        told = {"slug": name, "choice_order": order, "max_tokens": 1024}
        rights = [i >= wrong for i in range(40)]
        by_hand(tmp_path, rights, f"{name}-{order}", settings=told)

    for name, order, wrong in (("a", "as_released", 3), ("b", "as_released", 9),
                               ("a", 1, 20), ("a", 2, 5), ("b", 2, 12)):  # fmt: skip
        asked(name, order, wrong)
    (pair,) = igaku.pairs(tmp_path).query("family == 'finished'").to_dict("records")
    assert pair["askings_reference"] == pair["askings_candidate"] == 2
    # Order 1, which only one of them had, moves nothing: (9 + 12 − 3 − 5)/80.
    assert abs(pair["difference"]) == pytest.approx(13 / 80)
    repeats = study.repeats(tmp_path)
    assert {*repeats["reference"], *repeats["candidate"]} == {
        "a-as_released", "b-as_released",
    }  # fmt: skip


def test_a_liking_for_a_letter_shows(asked):
    orders = study.orders(asked)
    sums = orders.groupby("run")[["chosen", "right_there", "right_chosen"]].sum()
    assert sums["right_there"].nunique() == 1
    blind = orders[orders["run"] == "blind-1"].set_index("position")
    choices = sum(
        bool(q["kind"] == "choice") for q in planned(asked / "sure-1").values()
    )
    assert blind.loc["a", "chosen"] == choices and blind["chosen"].sum() == choices
    assert blind.loc["a", "accuracy"] == 1 and not blind.loc["b":, "accuracy"].any()
    sure = orders[orders["run"] == "sure-1"]
    assert (sure["accuracy"] == 1).all() and (
        sure["chosen"] == sure["right_there"]
    ).all()


def test_who_likes_a_letter_flips_where_the_answer_moved(asked):
    found = study.shuffles(asked).set_index(["run", "other"])
    assert len(found) == 6 and (found["n"] == 40).all()
    assert (found["kept"] + found["moved"] > 30).all()
    sure = found.loc[[pair for pair in found.index if pair[0].startswith("sure")]]
    assert not sure[["kept_flips", "moved_flips", "difference"]].any(axis=None)
    blind = found.drop(sure.index)
    # A letter that stood still is as right as before; one that moved may not be.
    assert not blind["kept_flips"].any() and blind["moved_flips"].all()
    by_hand = (blind["other_right"] - blind["right"]) / 40
    assert blind["difference"].tolist() == pytest.approx(by_hand.tolist())


def test_without_shuffled_runs_there_is_nothing_to_hold_apart(ask, tmp_path):
    ask(always)
    assert study.shuffles(tmp_path).empty and len(study.orders(tmp_path))
