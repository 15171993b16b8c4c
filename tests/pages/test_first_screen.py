"""The document of the recorded runs on a reader's first screen, wide and narrow."""

import pytest
from browser import HEIGHT, PHONE, chromium, opened
from recordings import bring_in

from igaku.pages import document
from igaku.study import open_study

SEED = 992  # pixels that the eight columns of the seed's summary have


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=["en", "ja"])
def recorded(request, shared, tmp_path_factory):
    """The document of the recorded runs in each language."""
    folder = bring_in(tmp_path_factory.mktemp("recorded"), shared)
    return document.write(open_study(folder, lang=request.param))


def bottom(place):
    box = place.bounding_box()
    return box["y"] + box["height"]


def test_the_document_is_short_with_its_folds_closed(browser, recorded):
    with opened(browser, recorded) as watched:
        height = "document.documentElement.scrollHeight"
        assert watched.page.evaluate(height) <= 12_000
        watched.page.evaluate(OPEN)
        assert watched.page.evaluate(height) > 8_000  # cards and strata are there
        assert watched.overflow() <= 0


OPEN = "for (const d of document.querySelectorAll('details')) d.open = true"


def test_the_first_screen_holds_the_answers_and_the_six(browser, recorded):
    with opened(browser, recorded) as watched:
        answers = watched.page.locator(".answer")
        assert answers.count() == 3
        table = watched.page.locator("table").first
        assert table.locator("tbody tr").count() == 6
        assert bottom(table) <= HEIGHT and bottom(answers.last) <= HEIGHT
        assert table.bounding_box()["width"] <= SEED
        scrolls = table.locator("xpath=..").evaluate(
            "e => e.scrollWidth - e.clientWidth"
        )
        assert scrolls <= 0


def test_on_a_phone_the_answers_come_first_and_the_score_is_in_view(browser, recorded):
    with opened(browser, recorded, PHONE) as watched:
        answers = watched.page.locator(".answer")
        table = watched.page.locator("table").first
        assert answers.first.bounding_box()["y"] < HEIGHT / 2
        assert bottom(answers.last) <= table.bounding_box()["y"]
        score = table.locator("tbody tr").first.locator("td").first.bounding_box()
        assert score["x"] + score["width"] < PHONE
        assert watched.overflow() <= 0
        watched.page.evaluate(OPEN)
        assert watched.overflow() <= 0


def test_a_phone_is_given_the_narrow_form_of_a_figure(browser, recorded):
    sizes = "[...document.images].map(i => [i.naturalWidth, i.clientWidth])"
    with opened(browser, recorded) as wide, opened(browser, recorded, PHONE) as slim:
        for (large, _), (small, shown) in zip(
            wide.page.evaluate(sizes), slim.page.evaluate(sizes), strict=True
        ):
            assert small < large and shown <= PHONE
