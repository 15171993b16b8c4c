"""The two mechanism notebooks: one in each language, the same code, and it runs."""

import json
import re

import pytest

from igaku.words import TEXT

NAMES = {"en": "mechanism.ipynb", "ja": "mechanism.ja.ipynb"}
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def cells(checkout, lang, kind):
    text = (checkout / "notebooks" / NAMES[lang]).read_text("utf-8")
    found = json.loads(text)["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_the_code_is_the_same_but_for_the_language(checkout):
    english, japanese = (cells(checkout, lang, "code") for lang in NAMES)
    assert english[0].replace('lang: str = "en"', 'lang: str = "ja"') == japanese[0]
    assert english[0] != japanese[0]
    assert english[1:] == japanese[1:]


def test_the_prose_is_in_one_language(checkout):
    english, japanese = (cells(checkout, lang, "markdown") for lang in NAMES)
    assert len(english) == len(japanese)
    assert not any(JAPANESE.search(text) for text in english)
    assert all(JAPANESE.search(text) for text in japanese)


@pytest.mark.parametrize("lang", list(NAMES))
def test_every_sentence_that_is_said_has_a_text(checkout, lang):
    said = set(re.findall(r'say\("(\w+)"', "\n".join(cells(checkout, lang, "code"))))
    text = (TEXT / f"mechanism.{lang}.yaml").read_text("utf-8")
    blocks = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    assert said | {"mechanism_case"} == blocks
