"""The sentences and words of the analysis: computed, in one language, never a claim."""

import re

import pytest
from runs import planned, replied, sit

from igaku.pages import findings, models, pairs, strata, tokens
from igaku.pages.titles import TABLES, titled
from igaku.pages.view import WORDS, sections, status_word, word
from igaku.study.scoring import Status
from igaku.study.study import open_study

EITHER = pytest.mark.parametrize("lang", ["ja", "en"])


def cut(question):
    """A reply that the budget ended before its answer."""
    return replied(
        question, outcome="truncated", correct=False, answer=None, content="",
        finish_reason="length", completion_tokens=1024,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Two finished runs of forty questions that part on five, and one cut often."""
    asked = planned(40)
    sit(tmp_path, [True] * 30 + [False] * 10, "first", asked)
    sit(tmp_path, [True] * 27 + [False] * 11 + [True] * 2, "second", asked)
    rows = [cut(q) if i < 4 else replied(q) for i, q in enumerate(asked)]
    sit(tmp_path, None, "third", asked, rows=rows, settings={"max_tokens": 64})
    return tmp_path


@pytest.fixture(params=["ja", "en"])
def study(folder, request):
    return open_study(folder, lang=request.param)


def numbers(shown):
    return re.findall(r"\d+(?:/\d+)?", shown.text)


# --- readings -------------------------------------------------------------------------


def test_the_scores_are_read_as_a_range(study):
    text = findings.score_reading(study).text
    assert "72.5%" in text and "75.0%" in text and "2.5" in text


def test_lost_replies_are_counted_and_the_worst_run_is_named(study):
    shown = models.lost_reading(study)
    assert "4/120" in numbers(shown) and "4/40" in numbers(shown)
    assert "third" in shown.text and "first" not in shown.text


def test_runs_that_lost_as_much_are_all_named(tmp_path):
    asked = planned(40)
    for name in ("a", "b"):
        rows = [cut(q) if i < 2 else replied(q) for i, q in enumerate(asked)]
        sit(tmp_path, None, name, asked, rows=rows)
    text = models.lost_reading(open_study(tmp_path, lang="en")).text
    assert re.search(r"by a .*, b .* with 2/40", text)


@EITHER
def test_without_a_lost_reply_that_is_said_with_n(tmp_path, lang):
    sit(tmp_path, [True] * 20, "one")
    text = models.lost_reading(open_study(tmp_path, lang=lang)).text
    assert "0/20" in text


def test_the_lowest_section_is_no_test(tmp_path):
    asked = [q for q in planned() if q["problem_id"][-1] in "12"]
    sit(tmp_path, [q["section"] != "C" for q in asked], "one", asked)
    text = models.section_reading(open_study(tmp_path, lang="en")).text
    assert "lowest section is C" in text and "no test" in text


def test_the_flips_are_counted_where_most_of_them_are(study):
    shown = pairs.flip_reading(study)
    assert "5/40" in numbers(shown)
    assert {"3", "2"} <= set(numbers(shown))  # lost and gained


@EITHER
def test_power_says_what_could_be_seen_and_what_a_small_one_needs(tmp_path, lang):
    asked = planned(200)
    sit(tmp_path, [i >= 20 for i in range(200)], "one", asked)
    sit(tmp_path, [i < 170 for i in range(200)], "two", asked)
    text = pairs.power_reading(open_study(tmp_path, lang=lang)).text
    assert re.search(r"0\.5(ポイント| points)", text)
    assert "n = 200" in text and "80 %" in text


def test_too_few_flips_for_power_are_a_sentence(study):
    text = pairs.power_reading(study).text
    assert re.search("入れ替わりが少なすぎ|too few flips", text)


def test_a_family_says_whether_any_run_differs(folder):
    sit(folder, [True] * 20 + [False] * 20, "fourth", planned(40))
    text = pairs.gate(open_study(folder, lang="en")).text
    assert re.search(r"That any of them differs is (not )?shown\.", text)


@EITHER
def test_lengths_are_read_with_the_censored_counted(tmp_path, lang):
    asked = planned(20)
    for name, length in (("short", 10), ("long", 90)):
        rows = [
            replied(q, completion_tokens=length + i) for i, q in enumerate(asked[:-1])
        ]
        sit(tmp_path, None, name, asked, rows=[*rows, cut(asked[-1])])
    text = tokens.length_reading(open_study(tmp_path, lang=lang)).text
    assert "2/40" in text or "2 of 40" in text
    assert re.search(r"1組(のうち|中)1組|1 of 1 pairs", text)


def test_strata_are_described_and_not_tested(tmp_path):
    asked = planned(30)
    for i, question in enumerate(asked):
        question["text_only"] = i >= 15
    sit(tmp_path, [i >= 10 for i in range(30)], "one", asked)
    text = strata.strata_reading(open_study(tmp_path, lang="en")).text
    assert "5/15" in text and "15/15" in text
    assert "not tested" in text


def test_patterns_are_read_as_all_none_and_parted(study):
    shown = strata.pattern_reading(study)
    assert {"40", "27", "8", "5"} <= set(numbers(shown))


@pytest.mark.parametrize("claim", ["same", "equal", "no difference", "差はない"])
def test_no_reading_claims_that_models_are_alike(study, claim):
    pieces = (
        findings.score_reading(study), models.lost_reading(study),
        models.section_reading(study), pairs.flip_reading(study),
        pairs.power_reading(study), strata.strata_reading(study),
        strata.pattern_reading(study), tokens.length_reading(study),
    )  # fmt: skip
    assert claim not in "\n".join(piece.text for piece in pieces)


def test_an_empty_folder_has_no_reading_that_fails(tmp_path):
    empty = open_study(tmp_path, lang="en")
    for read in (
        findings.score_reading, models.lost_reading, models.section_reading,
        pairs.flip_reading, strata.pattern_reading, tokens.length_reading,
    ):  # fmt: skip
        assert read(empty).text.strip() == ""


# --- the findings announce the alarms -------------------------------------------------


def test_the_findings_announce_the_alarms_and_lead_to_them(tmp_path):
    replies = [i % 3 > 0 for i in range(40)]
    for name in ("eight", "four"):
        settings = {"model": name, "slug": name}
        sit(tmp_path, replies, name, planned(40), settings=settings)
    study = open_study(tmp_path, lang="en")
    found, audits = findings.findings_table(study), models.audits(study)
    grave = audits.text.count("⚠")
    assert grave and f"Grave alarms: {grave}." in found.text.splitlines()[0]
    target = re.search(r'href="#([^"]+)"', found.html)[1]
    assert f'id="{target}"' in audits.html


# --- one language ---------------------------------------------------------------------


def test_a_japanese_page_shows_both_words_of_an_outcome(folder):
    text = models.causes(open_study(folder, lang="ja")).text
    assert "上限切れ（truncated）" in text and "完了（OK）" in text
    text = models.causes(open_study(folder, lang="en")).text
    assert "truncated" in text and not re.search("[ぁ-んァ-ン一-龥]", text)


def test_a_status_has_its_cause_in_both_words():
    assert (
        status_word(Status("BROKEN", "budget"), "ja") == "破綻（BROKEN、上限 budget）"
    )
    assert status_word(Status("BROKEN", "budget"), "en") == "BROKEN (budget)"
    assert status_word(Status("BROKEN", "something"), "ja").startswith("破綻（BROKEN")


def test_every_outcome_has_a_japanese_word():
    from igaku.words import OUTCOMES

    assert set(OUTCOMES) <= set(WORDS)
    assert word("unheard_of", "ja") == "unheard_of"


def test_the_section_table_is_in_the_readers_language(folder):
    run = open_study(folder).run("first")
    ja, en = sections(run, "ja").text, sections(run, "en").text
    assert "区分" in ja and "合計" in ja and "Total" not in ja
    assert "Section" in en and "Total (40)" in en


# --- the numbers of tables ------------------------------------------------------------


@EITHER
def test_every_title_has_a_number_of_its_own(lang):
    titles = [titled(lang, name) for name in TABLES]
    counts = [int(re.search(r"\d+", title)[0]) for title in titles]
    assert counts == list(range(1, len(TABLES) + 1))
