"""`study.yaml`: what may be declared, and what its hash holds."""

from dataclasses import replace

import pytest

from igaku.errors import IgakuError
from igaku.params.declared import STUDY, Declared, as_yaml, read_declared

WHOLE = Declared(
    question="4ビットで正答率は下がるか", reference="openai-8bit",
    family=["openai-8bit", "openai-mxfp4"], margin=0.05, level=0.01, exams=[2022, 2021],
    repeats=3, stopping="never", at="2026-01-01T00:00:00.000+00:00", begun=2,
)  # fmt: skip


def test_what_is_written_is_read_again_with_its_hash(tmp_path):
    (tmp_path / STUDY).write_text(as_yaml(WHOLE), encoding="utf-8")
    found = read_declared(tmp_path)
    assert found == replace(WHOLE, sha256=WHOLE.digest)
    assert found.digest == found.sha256


def test_a_folder_without_a_file_declares_nothing(tmp_path):
    assert read_declared(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"question": "?"}, {"reference": None}, {"family": ("openai-8bit",)},
        {"margin": 0.06}, {"level": 0.02}, {"exams": (2022,)}, {"repeats": 2},
        {"stopping": "when-broken"}, {"at": "2025-01-01T00:00:00.000+00:00"},
        {"begun": 0},
    ],
    ids=str,
)  # fmt: skip
def test_every_word_and_the_date_are_in_the_hash(change):
    assert replace(WHOLE, **change).digest != WHOLE.digest


def test_the_way_it_is_written_is_not_in_the_hash(tmp_path):
    lines = as_yaml(WHOLE).replace("- openai", "  - openai").splitlines()
    (tmp_path / STUDY).write_text("\n\n".join(lines), encoding="utf-8")
    assert read_declared(tmp_path).digest == WHOLE.digest


def test_names_may_be_listed_with_commas():
    told = Declared(question="?", family="a, b", exams="2021,2022")
    assert (told.family, told.exams) == (("a", "b"), (2021, 2022))
    assert Declared(question="?", family="a", exams=2021).exams == (2021,)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"margin": 2.5}, "margin is 2.5, but must be a number above 0 to 0.5"),
        ({"margin": True}, "margin is True"),
        ({"margin": 0}, "margin is 0"),
        ({"level": 1.0}, "level is 1.0"),
        ({"family": "a,"}, "family is 'a,', but must be all, or names of runs"),
        ({"family": []}, r"family is \[\], but must be all, or names of runs"),
        ({"family": ["a", "a"]}, "each once"),
        ({"family": ["all", "a"]}, "family is"),
        ({"family": {"a": 1}}, "family is"),
        ({"exams": [2031]}, r"exams is \[2031\], but must be years from 2018"),
        ({"exams": [2022, "2022"]}, "each once"),
        ({"repeats": 0}, "repeats is 0, but must be a whole number from 1 to 100"),
        ({"repeats": 1.5}, "repeats is 1.5"),
        ({"stopping": "soon"}, "stopping is 'soon', but must be one of when-broken"),
        ({"question": " "}, "question is ' ', but must be text"),
        ({"reference": 8}, "reference is 8"),
    ],
)
def test_what_cannot_be_declared_is_a_sentence(given, sentence):
    with pytest.raises(IgakuError, match=sentence):
        Declared(**{"question": "?"} | given)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("marign: 0.05", r"no key of study.yaml marign: did you mean margin\?"),
        ("question: why", r"lacks at, begun, sha256: have it written by `igaku dec"),
        ("- a", "must be a mapping with the key `question`"),
        ("question: [", "is not readable as YAML: mend it"),
        ("question: !!python/object:os.system ls", "is not readable as YAML"),
        ("{question: '?', at: x, begun: 0, sha256: x, margin: 3}", "study.yaml: marg"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / STUDY).write_text(text, encoding="utf-8")
    with pytest.raises(IgakuError, match=sentence):
        read_declared(tmp_path)
