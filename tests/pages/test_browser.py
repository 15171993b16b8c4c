"""The pages as a reader's browser shows them: Chromium, headless and offline."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

import pytest
from browser import DESK, HEIGHT, HOSTILE, PHONE, TRICKS, chromium, opened
from runs import planned, replied, sit
from stand_in import Answer, StandIn, cut

from igaku.pages import document
from igaku.pages.index import write_index
from igaku.pages.notebooks import render
from igaku.study import open_study
from igaku.sweep import status as sweep_status
from igaku.sweep.file import read_sweep
from igaku.workbook import execute, notebook_of

LABEL = f"{TRICKS[1]}|`x`*$a$"
LIMIT = 12
PAPER = 703  # pixels between the margins of A4


def behave(asked, number):
    """Right and wrong, hostile and cut, in turn."""
    text = ("答え: a", HOSTILE, "答え: b", "")[number % 4]
    return Answer(text, HOSTILE, completion_tokens=20 + number) if text else cut(asked)


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def outputs(browser, tmp_path_factory):
    """A folder with every kind of page, the replies in it hostile."""
    folder = tmp_path_factory.mktemp("pages")
    rows = [replied(q, content=HOSTILE, served_model=HOSTILE) for q in planned(20)]
    card = {"label": LABEL, "format": TRICKS[0]}
    sit(folder, None, "told", planned(20), rows=rows, card=card)
    sit(folder, [i % 3 > 0 for i in range(20)], "plain")
    sweep = read_sweep("lab", folder)
    (folder / sweep.jobs[0].run).mkdir()
    past = {"kind": "other", "moment": "2026-02-07T10:00:00Z", "why": HOSTILE}
    failed = {"state": "failed", "model": TRICKS[0], "why": HOSTILE, "history": [past]}
    (folder / sweep.jobs[0].run / "job.json").write_text(json.dumps(failed))
    sweep_status.write_report(sweep, "ja")
    with StandIn(behave) as server, ThreadPoolExecutor(2) as both:
        jobs = [
            both.submit(run_of_the_stand_in, folder, server.base_url),
            both.submit(mechanism, folder),
        ]
        for job in jobs:
            job.result()
    where = {"outputs_dir": str(folder), "lang": "en"}
    execute("analysis.ipynb", folder / "analysis.ipynb", where)
    render(folder)
    return folder


def run_of_the_stand_in(folder, base_url):
    asked = {"model": "stand-in", "exam": "calibration", "limit": LIMIT, "shots": 0}
    where = {"base_url": base_url, "run": "run", "outputs_dir": str(folder)}
    execute("run.ipynb", folder / "run" / "run.ipynb", asked | where)


def mechanism(folder):
    """In Japanese and in a minute: of the exam that its last model is asked, a part."""
    whole = 'serial_context=\\"joined\\")'
    source = notebook_of("mechanism.ipynb", "ja").read_text("utf-8")
    assert source.count(whole) == 1
    (folder / "part").mkdir()
    path = folder / "part" / "mechanism.ja.ipynb"
    path.write_text(source.replace(whole, f"{whole}[:12]"), encoding="utf-8")
    few = {"limit": 2, "budget": 12, "cap": 24, "room": 200, "lang": "ja"}
    execute(str(path.with_name("mechanism.ipynb")), folder / "mechanism.ipynb", few)


@pytest.fixture(scope="module")
def other_language(outputs):
    """What is cheap to write again: the index and the report in Japanese."""
    found = {p: p.read_bytes() for p in outputs.glob("*.html")}
    page = document.write(open_study(outputs, lang="ja"))
    kept = {
        "report.ja": page.rename(outputs / "report.ja.html"),
        "index.ja": write_index(outputs, "ja").rename(outputs / "index.ja.html"),
    }
    for path, content in found.items():
        path.write_bytes(content)
    return kept


@pytest.fixture(
    scope="module",
    params=["index", "run/run", "analysis", "mechanism", "report", "replies",
            "sweep-lab", "report.ja", "index.ja"],
)  # fmt: skip
def window(request, browser, outputs, other_language):
    """A page as it is opened on a phone, one window for all tests of it."""
    page = other_language.get(request.param) or outputs / f"{request.param}.html"
    with opened(browser, page, PHONE, color_scheme="light") as watched:
        watched.path = page
        yield watched


def seen(watched, width=DESK, media="screen", scheme="light"):
    """The page in a window of that width, on a screen or on paper."""
    watched.page.emulate_media(media=media, color_scheme=scheme)
    watched.page.set_viewport_size({"width": width, "height": HEIGHT})
    return watched.page


# --- what holds for every page --------------------------------------------------------


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_page_is_quiet_offline_and_as_wide_as_its_window(window, width):
    shown = seen(window, width)
    assert window.overflow() <= 0
    assert not shown.query_selector_all("img:not([alt]), img[alt='']")
    assert shown.evaluate(BROKEN_IMAGES) == 0
    assert not window.complaints and not window.asked and not window.ran


def test_every_text_stands_out_by_day_and_by_night(window):
    shown = seen(window)
    assert shown.evaluate(GROUND) == WHITE and not shown.evaluate(FAINT)
    shown = seen(window, scheme="dark")
    assert shown.evaluate(GROUND) != WHITE and not shown.evaluate(FAINT)
    figures = "[...document.images].map(i => getComputedStyle(i).filter)"
    assert all("invert" in told for told in shown.evaluate(figures))


WHITE = "rgb(255, 255, 255)"
GROUND = "getComputedStyle(document.body).backgroundColor"
# The texts that do not stand out from what is behind them, at 4.5 to 1.
FAINT = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => {
    v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
  return [...document.querySelectorAll('body *')].filter(e => e.offsetParent
    && [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())).filter(e => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
    }).map(e => e.outerHTML.slice(0, 90)); }"""
BROKEN_IMAGES = "[...document.images].filter(i => !i.naturalWidth).length"


def test_every_link_of_a_page_leads_somewhere_and_to_one_place(window):
    each = window.page.eval_on_selector_all
    anchors = each("[id]", "all => all.map(e => e.id)")
    assert len(set(anchors)) == len(anchors)
    for link in each("a", "all => all.map(a => a.getAttribute('href'))"):
        told = urlsplit(link)
        assert not told.scheme and not told.netloc, link
        place = window.path.parent / unquote(told.path)
        assert not told.path or place.is_file(), link
        assert told.path or unquote(told.fragment) in anchors, link


def test_paper_shows_everything_but_code_and_contents(window):
    shown = seen(window, PAPER, "print", "dark")
    assert window.overflow() <= 0
    assert shown.evaluate(CUT) == []
    hidden = shown.locator(".contents, details.code")
    assert not any(each.is_visible() for each in hidden.all())
    assert shown.evaluate(GROUND) == WHITE


CUT = """[...document.querySelectorAll('table, pre, img')].filter(
  e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.innerText)"""

# --- finding one's way ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["run/run", "analysis", "mechanism", "report"])
def test_the_contents_stand_beside_a_wide_page_and_jump(browser, outputs, name):
    with opened(browser, outputs / f"{name}.html") as watched:
        shown = watched.page
        headings = shown.locator("main h2, main h3")
        links = shown.locator(".column a")
        assert links.all_inner_texts() == headings.all_inner_texts()
        assert not shown.locator(".fold").is_visible()
        for link, heading in list(zip(links.all(), headings.all(), strict=True))[::3]:
            link.click()
            assert 0 <= heading.bounding_box()["y"] < HEIGHT
            assert link.bounding_box()["y"] < HEIGHT  # it stays where it was


def test_the_contents_are_folded_on_a_phone(browser, outputs):
    with opened(browser, outputs / "analysis.html", PHONE) as watched:
        fold = watched.page.locator(".fold")
        link = fold.locator("a").nth(4)
        assert fold.is_visible() and not link.is_visible()
        fold.locator("summary").click()
        link.click()
        name = link.inner_text()
        heading = watched.page.get_by_role("heading", name=name, exact=True)
        assert 0 <= heading.bounding_box()["y"] < HEIGHT


def test_code_is_there_on_a_click(browser, outputs):
    with opened(browser, outputs / "run/run.html") as watched:
        code = watched.page.locator("details.code").nth(2)
        assert not code.locator("pre").is_visible()
        code.locator("summary").click()
        assert code.locator("pre").is_visible()
        assert "igaku.params.settings.settings_from" in code.inner_text()


def test_wide_tables_scroll_inside_themselves_and_keep_their_first_column(
    browser, outputs
):
    with opened(browser, outputs / "analysis.html", PHONE) as watched:
        boxes = watched.page.locator(".scroll")
        wider = [
            box
            for box in boxes.all()
            if box.evaluate("e => e.scrollWidth > e.clientWidth + 40")
        ]
        assert wider
        first = wider[0].locator("tbody tr > :first-child").first
        before = first.bounding_box()["x"]
        wider[0].evaluate("e => e.scrollLeft = 40")
        assert first.bounding_box()["x"] == before


def test_a_figure_fits_a_phone_and_a_tap_makes_it_larger(browser, outputs):
    with opened(browser, outputs / "analysis.html", PHONE) as watched:
        picture = watched.page.locator(".figure img").first
        assert picture.bounding_box()["width"] <= PHONE
        said = "e => getComputedStyle(e.parentElement, '::after').content"
        assert "Tap the figure" in picture.evaluate(said)
        picture.click()
        assert picture.bounding_box()["width"] > PHONE
        assert watched.overflow() <= 0


@pytest.mark.parametrize(
    ("name", "lang"),
    [("run/run", "en"), ("mechanism", "ja"), ("analysis", "en"), ("report", "en")],
)
def test_a_page_has_headings_in_one_language(browser, outputs, name, lang):
    with opened(browser, outputs / f"{name}.html") as watched:
        assert watched.page.get_attribute("html", "lang") == lang
        told = watched.page.locator("h1, .column > ul > li > a").all_inner_texts()
        kana = [bool(re.search("[ぁ-ゖ]", words)) for words in told]
        assert any(kana) == (lang == "ja")
        assert not any(" · " in words for words in told)


def test_the_index_leads_to_every_page(browser, outputs):
    with opened(browser, outputs / "index.html") as watched:
        shown = watched.page
        rows = shown.locator("tbody tr").all_inner_texts()
        names = [row.split()[0] for row in rows]
        assert {"plain", "stand-in"} <= set(names)
        for path in ("analysis", "report", "mechanism", "sweep-lab", "run/run"):
            assert shown.locator(f"a[href='{path}.html']").count() == 1
        shown.locator("tbody a").first.click()
        assert shown.url.endswith("run/run.html")


# --- what models wrote ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["run/run", "analysis", "report", "sweep-lab"])
def test_what_a_model_wrote_is_text_even_without_the_policy(browser, outputs, name):
    path = outputs / f"{name}.html"
    with opened(browser, path, bypass_csp=True) as watched:
        shown = watched.page
        shown.evaluate(
            "for (const d of document.querySelectorAll('details')) d.open = 1"
        )
        shown.wait_for_timeout(100)
        assert not watched.ran and not watched.complaints and not watched.asked
        assert shown.locator("main").is_visible()
        made = "main script, main svg, main iframe, [onerror], [ontoggle]"
        assert shown.locator(made).count() == 0
        text = shown.inner_text("body")
        wanted = {"run/run": TRICKS, "sweep-lab": TRICKS}.get(name, TRICKS[:2])
        for trick in wanted:
            assert trick in text, trick


def test_the_tricks_of_these_tests_do_run_where_they_are_not_text(browser, tmp_path):
    path = tmp_path / "naive.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><div><pre>{HOSTILE}")
    with opened(browser, path) as watched:
        watched.page.wait_for_timeout(100)
        assert {"script", "img", "svg", "details"} <= set(watched.ran)
        assert watched.complaints


# --- the first screen -----------------------------------------------------------------


@pytest.mark.parametrize("width", [PHONE, 1200, DESK])
def test_score_status_loss_and_weights_of_a_run_are_in_the_first_screen(
    browser, outputs, width
):
    """Of a run's own page and of the index; what it was set to is folded away."""
    with opened(browser, outputs / "run/run.html", width) as watched:
        box = watched.page.locator(".headline").bounding_box()
        assert box["y"] + box["height"] < HEIGHT / 2
        told = watched.page.locator(".headline").inner_text()
        assert re.search(r"0/12 right \(0\.0%\) · complete · replies lost: \d", told)
        assert "weights: not verified" in told
        assert watched.page.get_by_text("The settings of this run").is_visible()
        assert not watched.page.get_by_text("token budget of").first.is_visible()
    with opened(browser, outputs / "index.html", width) as watched:
        heads = watched.page.locator("thead th")
        ends = {h.inner_text(): h.bounding_box() for h in heads.all()}
        for name in ("Accuracy", "Status", "Lost", "Weights"):
            assert ends[name]["x"] < width and ends[name]["y"] < HEIGHT
        right = max(box["x"] + box["width"] for box in ends.values())
        assert right <= width or width == PHONE
