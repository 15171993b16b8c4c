"""The two languages: one vocabulary, equal sentences, and text that never obeys."""

import re
from collections import Counter

import jinja2
import jinja2.meta
import numpy as np
import pandas as pd
import pytest
import yaml

from igaku import words
from igaku.errors import IgakuError
from igaku.words import formatted, heading, printed, say, word

SENTENCES = {
    path.name.removesuffix(".en.yaml"): path for path in words.TEXT.glob("*.en.yaml")
}
WORDS = sorted(words.TEXT.glob("words.*.yaml"))
HOSTILE = "<script>alert(1)</script> $x$ \x1b[31m \u202e"


def blocks_of(path):
    return yaml.safe_load(path.read_text("utf-8")) or {}


def variables_of(text):
    made, known = jinja2.Environment(), words._sentences("en")
    made.filters, made.tests = known.filters, known.tests
    return jinja2.meta.find_undeclared_variables(made.parse(text))


def test_every_file_of_sentences_has_its_twin():
    japanese = {
        path.name.removesuffix(".ja.yaml") for path in words.TEXT.glob("*.ja.yaml")
    }
    assert set(SENTENCES) == japanese


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_both_languages_have_the_same_sentences_of_the_same_numbers(name):
    english = blocks_of(SENTENCES[name])
    japanese = blocks_of(words.TEXT / f"{name}.ja.yaml")
    assert english.keys() == japanese.keys()
    for block in english:
        one, other = variables_of(english[block]), variables_of(japanese[block])
        assert one == other, f"{name}: {block}"


def test_no_sentence_is_named_twice():
    names = [block for path in SENTENCES.values() for block in blocks_of(path)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", WORDS, ids=lambda path: path.name)
def test_every_word_is_there_in_both_languages(path):
    told = blocks_of(path)
    assert told.keys() <= {"columns", "values", "formats"}
    each = [*told.get("columns", {}).items()]
    each += [pair for kind in told.get("values", {}).values() for pair in kind.items()]
    for name, texts in each:
        assert isinstance(texts, dict), name
        assert texts.keys() == {"en", "ja"}, name
        assert all(isinstance(text, str) and text for text in texts.values()), name


def test_no_word_means_two_things():
    for kind in ("columns", "formats"):
        names = [name for path in WORDS for name in blocks_of(path).get(kind, {})]
        assert len(names) == len(set(names))
    values = [
        (kind, value)
        for path in WORDS
        for kind, told in blocks_of(path).get("values", {}).items()
        for value in told
    ]
    assert [each for each, n in Counter(values).items() if n > 1] == []


def test_every_outcome_has_a_word_in_both_languages():
    for outcome in words.OUTCOMES:
        assert word("outcome", outcome, "ja") != outcome
        assert word("outcome", outcome, "en")


def test_a_printed_frame_is_in_a_readers_words_and_units():
    frame = pd.DataFrame(
        {"run": ["a"], "accuracy": [0.715], "outcome": ["empty"], "pvalue": [0.00001]}
    )
    shown = printed(frame, "ja").to_html()
    assert heading("accuracy", "ja") in shown
    assert "71.5%" in shown
    assert "空回答" in shown
    assert "&lt; 0.001" in shown
    assert frame.loc[0, "outcome"] == "empty"  # the frame itself stays as it is


def test_the_limits_of_an_interval_are_in_the_unit_of_their_estimate():
    share = pd.DataFrame({"accuracy": [0.5], "low": [0.4], "high": [0.6]})
    points = pd.DataFrame({"difference": [-0.005], "low": [-0.0432], "high": [0.0331]})
    assert "40.0%" in printed(share).to_html()
    shown = printed(points).to_html()
    assert "−4.3" in shown
    assert "+3.3" in shown


@pytest.mark.parametrize("where", ["cell", "column", "index", "index name"])
def test_hostile_text_is_shown_and_never_obeyed(where):
    frame = pd.DataFrame({"content": ["reply"]}, index=["one"])
    if where == "cell":
        frame.loc["one", "content"] = HOSTILE
    elif where == "column":
        frame.columns = [HOSTILE]
    elif where == "index":
        frame.index = [HOSTILE]
    else:
        frame.index.name = HOSTILE
    shown = printed(frame).to_html()
    assert where != "index name" or frame.index.name == HOSTILE
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "mathjax_ignore" in shown  # JupyterLab would typeset $x$


def test_missing_is_a_dash_and_never_a_zero():
    frame = pd.DataFrame({"accuracy": [None, np.nan], "run": [pd.NA, "b"]})
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", printed(frame).to_html())
    assert cells == ["–", "–", "–", "b"]


def test_a_table_of_one_question_and_any_type_is_printed():
    frame = pd.DataFrame(
        {"answer": [("a", "c"), None], "correct": pd.array([True, None], "boolean")}
    )
    shown = printed(frame, "ja").to_html()
    assert "a, c" in shown


def test_numbers_have_one_form():
    assert formatted(-0.0, "points") == "0.0"
    assert formatted(-0.0004, "points") == "0.0"
    assert formatted(1234, "whole") == "1,234"
    assert formatted(True, "share") == "True"


def test_a_sentence_that_is_not_there_and_another_language_are_refused():
    with pytest.raises(KeyError, match="no sentence 'nope'"):
        say("nope")
    with pytest.raises(IgakuError, match="give 'ja' or 'en'"):
        say("read_chosen", "fr")
    with pytest.raises(jinja2.UndefinedError):
        say("read_chosen", "en", candidate="B")


def test_columns_that_are_values_are_told_as_values():
    frame = pd.DataFrame({"run": ["a", "a"], "outcome": ["empty", "answered"]})
    wide = frame.groupby(["run", "outcome"]).size().unstack()
    shown = printed(wide, "ja").to_html()
    assert word("outcome", "empty", "ja") in shown
    assert ">empty<" not in shown
    tall = printed(frame.groupby(["outcome", "run"]).size().to_frame(), "ja").to_html()
    assert word("outcome", "empty", "ja") in tall


def test_row_numbers_are_left_out_and_names_are_not():
    frame = pd.DataFrame({"run": ["a", "b", "c"]})
    assert "<th" not in printed(frame[frame.run != "b"]).to_html().split("<tbody>")[1]
    assert ">x</th>" in printed(frame.set_axis(["x", "y", "z"])).to_html()


def test_a_sentence_knows_the_levels_and_shows_no_control_character():
    made = words._sentences("en").from_string("{{ x }} {{ LEVEL }} {{ y is missing }}")
    assert made.render(x="\x1b[31m", y=None) == "\u241b[31m 0.05 True"


def test_a_count_is_no_share_where_a_column_of_shares_has_its_name():
    assert formatted(np.int64(30), "share") == "30"
    assert formatted(0.3, "share") == "30.0%"


def test_the_words_of_a_kind_may_stand_in_several_files(tmp_path, monkeypatch):
    (tmp_path / "words.a.yaml").write_text("values: {part: {all: {en: x, ja: y}}}")
    (tmp_path / "words.b.yaml").write_text("values: {part: {one: {en: z, ja: w}}}")
    monkeypatch.setattr(words, "TEXT", tmp_path)
    assert words._words.__wrapped__()["values"]["part"].keys() == {"all", "one"}


def test_the_limits_of_a_median_are_whole_numbers():
    frame = pd.DataFrame({"median": [51.0], "low": [51.0], "high": [67.0]})
    assert ">67<" in printed(frame).to_html()


def test_an_empty_frame_says_so():
    shown = printed(pd.DataFrame({"run": []}), "ja").to_html()
    assert say("frame_of_nothing", "ja") in shown
    assert re.search(r" caption {\s*text-align: left", shown)


def test_no_zero_is_negative_and_a_mark_keeps_to_its_label():
    told = [formatted(-0.01, kind) for kind in ("one", "whole", "points")]
    assert told == ["0.0", "0", "−1.0"]
    assert formatted(-0.0001, "share") == "0.0%"
    assert words.labelled("a", "unverified") == "a\u00a0†"


def test_words_stand_to_the_left_and_numbers_to_the_right():
    shown = printed(pd.DataFrame({"content": ["reply"], "n": [3]}))._repr_html_()
    assert re.search(r"\.col0 {\s*text-align: left", shown)
    assert not re.search(r"\.col1 {\s*text-align", shown)


@pytest.mark.parametrize("long", ["long " * 20, ("a-run-of-this-name",) * 3])
def test_a_long_text_is_broken_into_lines_and_nothing_else_is(long):
    frame = pd.DataFrame({"run": ["a-b"], "n": [1], "content": [long]})
    style = printed(frame).to_html().partition("</style>")[0]
    assert re.search(r" td:not\(.col2\) {\s*white-space: nowrap", style)
    assert re.search(r" .col2 {\s*min-width", style)
    assert re.search(r" .col0 {\s*text-align: left", style)
    assert style.count("(") == style.count(")") == style.count(":not")


def test_a_japanese_heading_is_not_broken_at_each_letter():
    frame = pd.DataFrame({"flip_budget": [1], "seconds": [1.0], "mine": [1]})
    style = printed(frame, "ja").to_html().partition("</style>")[0]
    assert re.search(r" \.col_heading\.col0 {\s*min-width: 5em", style)
    assert re.search(r" \.col_heading\.col1 {\s*min-width: 1em", style)
    assert "col_heading.col2" not in style
    assert "col_heading" not in printed(frame).to_html().partition("</style>")[0]


@pytest.mark.parametrize(("lang", "told"), [("en", "2 were decided"), ("ja", "2件")])
def test_who_decided_is_told_only_where_anyone_did(lang, told):
    run = {"asked": 3, "right_permissive": None} | dict.fromkeys(
        ("doubtful", "adjudicated", "reread"), 0
    )
    assert "0" not in say("read_readings", lang, runs=[run])
    assert told in say("read_readings", lang, runs=[run | {"adjudicated": 2}])


def test_a_budget_reads_alike_in_every_table():
    names = ("budget", "larger", "larger_max_tokens", "max_tokens")
    for name in names:
        assert ">4,096<" in printed(pd.DataFrame({name: [4096]})).to_html()


def test_a_count_never_takes_the_word_of_a_truth():
    assert "right" not in printed(pd.DataFrame({"right": [1, 0]})).to_html()
    assert word("right", True, "en") == "right"
