"""The reply browser: every question with every run's reply, in a real Chromium."""

import base64
import hashlib
import re
from itertools import chain

import nbformat
import pytest
from browser import DESK, HOSTILE, PHONE, TRICKS, chromium, opened
from recordings import bring_in
from runs import replied, sit

import igaku
from igaku.errors import IgakuError
from igaku.pages import replies
from igaku.pages.facts import facts_of, numbered
from igaku.pages.index import write_index
from igaku.pages.notebooks import render, render_notebook
from igaku.pages.replies import marked, write_replies
from igaku.reading.readings import READER
from igaku.study import open_study

ASKED = 30
LINE = "答え: "
RTL = "\u202e"
BEFORE = f"<b>&amp; {RTL}\n\n"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def plan_of(questions):
    return [
        {"problem_id": q.problem_id, "section": q.section, "kind": q.kind,
         "gold": list(q.answer), "accepted": [list(way) for way in q.accepted],
         "points": 1, "text_only": True, "stem": q.stem, "kinki": []}
        for q in questions
    ]  # fmt: skip


def stated(question, letters, **changes):
    """A reply that declares these letters in its last line, read from there."""
    content = BEFORE + LINE + ", ".join(letters)
    place = [len(BEFORE), len(content)]
    right = list(letters) == question["gold"]
    about = {"answer": list(letters), "content": content, "span": place} | changes
    read = {"reader": READER, "rule": "declared", "permissive": about["answer"]}
    return replied(question, right, **read | about)


def other(question):
    """An answer that is not the gold, as long as it."""
    gold = question["gold"]
    if question["kind"] == "numeric":
        return ["".join("1" if digit == "0" else "0" for digit in gold[0])]
    return [letter for letter in "abcde" if letter not in gold][: len(gold)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two runs of the calibration exam: they part, lose, doubt, and one is hostile."""
    folder = tmp_path_factory.mktemp("replies")
    plan = plan_of(igaku.load_exam("calibration")[:ASKED])
    first = [stated(q, q["gold"]) for q in plan]
    second = [stated(q, q["gold"] if i % 3 else other(q)) for i, q in enumerate(plan)]
    lost = {"outcome": "truncated", "cause": "budget", "correct": False,
            "answer": None, "content": "", "span": None}  # fmt: skip
    first[4] = stated(plan[4], plan[4]["gold"], **lost)
    first[5] |= {"permissive": ["z"], "marks": ["<|x|>"]}
    second[7] |= {"content": HOSTILE, "reasoning": HOSTILE + RTL, "span": [0, 8]}
    about = {"settings": {"exam": "calibration"}}
    sit(folder, None, "one", plan, rows=first, **about)
    sit(folder, None, "two", plan, rows=second[:-1], card={"label": TRICKS[1]}, **about)
    return folder


@pytest.fixture(scope="module", params=["en", "ja"])
def page(request, outputs):
    (made,) = write_replies(open_study(outputs, lang=request.param))
    return made.rename(outputs / f"replies.{request.param}.html")


def at(name):
    return f"article[id='{name}']"


def shown(watched):
    return watched.page.locator("article.question:visible")


def choose(watched, **wanted):
    """Set the filter; how many questions it says it leaves."""
    for name, value in wanted.items():
        watched.page.locator(f"[name={name}]").select_option(value)
    watched.page.wait_for_timeout(50)
    told = int(watched.page.locator(".filter output").inner_text())
    assert told == shown(watched).count()
    return told


# --- reading --------------------------------------------------------------------------


def test_everything_is_read_without_any_script(browser, page, outputs):
    question = igaku.load_exam("calibration")[7]
    with opened(browser, page, java_script_enabled=False) as watched:
        watched.page.goto(f"{page.as_uri()}#{question.problem_id}")
        card = watched.page.locator(at(question.problem_id))
        card.locator("h3").click()  # which waits until the browser has laid it out
        told = card.inner_text()
        assert question.text in told
        assert all(choice in told for choice in question.choices)
        assert not watched.page.locator(".filter").is_visible()
        fold = card.locator("details").nth(1)
        fold.locator("summary").click()
        assert all(trick in fold.inner_text() for trick in TRICKS)
        assert "<U+202E>" in fold.inner_text()
        link = f"a[href='#{question.problem_id}']"
        assert watched.page.locator(f".map {link}").count() == 1


def test_the_place_an_answer_was_read_from_is_marked(browser, page, outputs):
    rows = igaku.load_runs(outputs, raw=False)
    stated = rows[rows["content"].str.startswith(BEFORE)]
    with opened(browser, page) as watched:
        told = watched.page.locator("mark").all_text_contents()
    places = [content[a:b] for content, (a, b) in stated[["content", "span"]].values]
    assert len(places) > ASKED
    assert sorted(told) == sorted([*places, HOSTILE[:8]])


def test_a_place_beyond_the_reply_marks_nothing():
    assert marked("<a>", (2, 9)) == marked("<a>", (-1, 2)) == "&lt;a&gt;"
    assert marked("b, c", None) == "<mark>b, c</mark>"


def test_choices_tell_which_runs_took_them_and_which_is_right(browser, page):
    gold = igaku.load_exam("calibration")[0].answer
    with opened(browser, page) as watched:
        card = watched.page.locator("article").first
        right = card.locator("li.gold")
        assert [each.inner_text()[0] for each in right.all()] == [*gold]
        assert right.first.locator("i").all_inner_texts() == ["1"]  # two said another


def test_a_shuffled_run_says_which_choice_stood_where(tmp_path):
    plan = plan_of(igaku.load_exam("calibration")[:1])
    asked = [plan[0] | {"shown_as": "cadbe"}]
    rows = [stated(plan[0], plan[0]["gold"])]
    sit(tmp_path, None, "run", asked, rows=rows, settings={"exam": "calibration"})
    told = igaku.read(tmp_path, plan[0]["problem_id"])._repr_html_()
    assert "a = c, b = a, c = d, d = b, e = e" in told


# --- what models wrote ----------------------------------------------------------------


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_what_a_model_wrote_is_text_even_without_the_policy(browser, page, width):
    with opened(browser, page, width, bypass_csp=True) as watched:
        watched.page.evaluate(OPEN)
        watched.page.wait_for_timeout(100)
        assert not watched.ran and not watched.complaints and not watched.asked
        assert watched.overflow() <= 0
        made = "main script, main svg, main iframe, [onerror], [ontoggle]"
        assert watched.page.locator(made).count() == 0


def test_a_number_that_is_markup_is_text(browser, tmp_path):
    name = TRICKS[1] + "'\""
    asked = {"problem_id": name, "section": TRICKS[0], "gold": ["a"]}
    sit(tmp_path, [True], questions=[asked])
    (made,) = write_replies(open_study(tmp_path))
    with opened(browser, made, bypass_csp=True) as watched:
        assert watched.page.locator("article h3").inner_text() == name
        watched.page.locator(".map summary").click()
        watched.page.locator(".map a").click()
        watched.page.wait_for_timeout(100)
        assert not watched.ran and not watched.complaints and not watched.asked


OPEN = "for (const d of document.querySelectorAll('details')) d.open = true"


def test_no_script_but_its_own_can_run(browser, page):
    (policy,) = re.findall(r'Policy" content="([^"]*)"', page.read_text("utf-8"))
    (script,) = re.findall("<script>(.*?)</script>", page.read_text("utf-8"), re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    told = policy.replace("&#39;", "'")
    assert "default-src 'none'" in told and told.endswith(
        f"script-src 'sha256-{digest}'"
    )
    with opened(browser, page) as watched:
        watched.page.evaluate(INJECT)
        watched.page.wait_for_timeout(100)
        assert not watched.ran
        assert any("Content Security Policy" in each for each in watched.complaints)


INJECT = """() => { const made = document.createElement('script');
  made.textContent = "ran('script')"; document.body.append(made);
  document.body.insertAdjacentHTML('beforeend', "<img src=x onerror=ran('img')>"); }"""


# --- searching and filtering ----------------------------------------------------------


def test_the_filter_leaves_what_the_frames_count(browser, page, outputs):
    rows = igaku.load_runs(outputs, raw=False)
    one, two = (rows[rows["run"] == name] for name in ("one", "two"))
    flips = len(igaku.flips(outputs, "one", "two"))
    with opened(browser, page) as watched:
        assert choose(watched, run="1", outcome="wrong") == (two["correct"] == 0).sum()
        assert choose(watched, run="0", outcome="truncated") == 1
        assert choose(watched, outcome="", other="1") == flips > 5
        assert choose(watched, run="1", other="0") == flips
        assert choose(watched, run="", other="", section="900A") == len(one)
        watched.page.locator("[name=doubtful]").check()
        assert choose(watched) == len(igaku.doubtful(outputs)) == 1
        watched.page.locator("button[type=reset]").click()
        assert choose(watched) == ASKED


def test_the_replies_of_a_chosen_run_stand_open(browser, page):
    with opened(browser, page) as watched:
        choose(watched, run="1", outcome="wrong")
        card = shown(watched).first
        folds = card.locator("details").all()
        assert [fold.get_attribute("open") for fold in folds] == [None, ""]


def test_the_search_finds_words_of_replies_and_questions(browser, page):
    with opened(browser, page) as watched:
        watched.page.keyboard.press("/")
        watched.page.keyboard.type("ONTOGGLE=ran  onload")
        watched.page.wait_for_timeout(300)
        assert shown(watched).count() == 1
        watched.page.keyboard.press("Escape")
        name = watched.page.locator("article").first.get_attribute("id")
        watched.page.evaluate(f"location.hash = '{name}'")  # it is hidden: all return
        watched.page.wait_for_timeout(100)
        assert choose(watched) == ASKED


def test_keys_go_from_question_to_question_and_unfold(browser, page):
    focused = "document.activeElement.closest('article')?.id"
    with opened(browser, page) as watched:
        names = [each.get_attribute("id") for each in shown(watched).all()]
        met = []
        for key in "jjkj":
            watched.page.keyboard.press(key)
            met.append(watched.page.evaluate(focused))
        assert met == [names[0], names[1], names[0], names[1]]
        watched.page.keyboard.press("o")
        folds = watched.page.locator(f"{at(names[1])} details").all()
        assert all(fold.get_attribute("open") == "" for fold in folds)
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert watched.page.evaluate(outline) == "solid"


def test_an_anchor_leads_to_its_question(browser, page):
    name = f"900A{ASKED - 6}"
    with opened(browser, page) as watched:
        watched.page.goto(f"{page.as_uri()}#{name}")
        watched.page.wait_for_timeout(200)
        top = watched.page.locator(at(name)).bounding_box()["y"]
        assert 0 <= top < 200


# --- many, none, and no exam ----------------------------------------------------------


def test_six_whole_exams_fit_one_page(tmp_path, shared):
    study = open_study(bring_in(tmp_path, shared))
    for run in study.runs:
        run.rows["reasoning"] = "We need to think of every choice. " * 120  # 4 kB
    (made,) = write_replies(study)
    assert made.stat().st_size < 15e6
    assert made.read_text("utf-8").count("<article") == 400


def test_what_is_not_whole_on_record_is_said_where_it_is_read(tmp_path, shared):
    """And a question whose case was not shown; the numbers are the document's."""
    study = open_study(bring_in(tmp_path, shared))
    names = [run.name for run in numbered(study)]
    card = replies.read(study, "116A4")._repr_html_()  # "... not known to cause hypo"
    of_runs = card.split('<details class="reply">')[1:]
    said = ["Not all of this reply is on record" in each for each in of_runs]
    clipped = [name for name, is_said in zip(names, said, strict=True) if is_said]
    assert clipped == ["safeguard-mxfp4-mt4096"]
    assert "follows a case" in replies.read(study, "116C67")._repr_html_()
    assert "follows a case" not in replies.read(study, "116A4")._repr_html_()
    facts = facts_of(study)
    assert names == [*facts.main, *facts.apart]


def test_what_is_too_much_for_a_page_is_split_and_listed(browser, outputs, monkeypatch):
    monkeypatch.setattr(replies, "LARGEST", 20_000)
    stale = outputs / "replies-99.html"
    stale.write_text("an earlier part")
    first, *parts = write_replies(open_study(outputs))
    assert len(parts) > 1 and not stale.exists()
    held = [re.findall('<article [^>]*id="(.*?)"', p.read_text("utf-8")) for p in parts]
    assert sum(map(len, held)) == ASKED == len({*chain(*held)})
    with opened(browser, first) as watched:
        link = watched.page.locator(
            f"a[id='{held[-1][0]}']"
        )  # where a page's link leads
        assert not watched.page.locator("article, script").count()
        link.click()
        assert watched.page.url.endswith(f"{parts[-1].name}#{held[-1][0]}")
    told = write_index(outputs).read_text("utf-8")
    assert 'href="replies.html"' in told and "replies-1.html" not in told


def test_without_the_exam_the_page_is_made_and_says_so(tmp_path, monkeypatch):
    nowhere = str(tmp_path / "nothing")
    for name in ("IGAKU_CACHE", "IGAKU_DATA_URL"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.delenv("IGAKU_DATA", raising=False)
    sit(tmp_path, [True, False])
    (made,) = write_replies(open_study(tmp_path))
    told = made.read_text("utf-8")
    assert "Exam 2022 is not on this machine" in told and "IGAKU_DATA" in told
    assert told.count("<article") == 2 and "<mark>b</mark>" in told


def test_a_folder_without_runs_has_no_page(tmp_path):
    with pytest.warns(UserWarning, match="no runs"):
        assert write_replies(open_study(tmp_path)) == []


# --- from a notebook, and from the other pages ----------------------------------------


def test_read_shows_the_card_of_one_question(browser, outputs, tmp_path):
    found = igaku.read(outputs, " 900a8 ")
    assert repr(found) == "900A8: right in 2 of 2 runs"
    alone = tmp_path / "card.html"
    alone.write_text(f"<!doctype html><meta charset=utf-8>{found._repr_html_()}")
    with opened(browser, alone, PHONE) as watched:
        watched.page.evaluate(OPEN)
        watched.page.wait_for_timeout(100)
        assert watched.overflow() <= 0 and not watched.ran and not watched.asked
        assert TRICKS[0] in watched.page.inner_text("article")
        assert not watched.page.locator("[id]").count()  # two cards may stand in one
    assert "正解" in igaku.read(outputs, "900A8", lang="ja")._repr_html_()


def test_the_card_is_legible_on_the_page_of_a_notebook(browser, outputs, tmp_path):
    told = igaku.read(outputs, "900A8")._repr_html_()
    page = render_notebook(written(tmp_path / "explore.ipynb", told))
    with opened(browser, page, color_scheme="dark") as watched:
        right = watched.page.locator("article .right").first
        assert right.evaluate("e => getComputedStyle(e).color") == "rgb(143, 214, 172)"


def test_runs_that_were_not_asked_stand_together_behind_the_replies(browser, page):
    with opened(browser, page) as watched:
        last = watched.page.locator("article").last
        assert last.locator("details").count() == 1
        (others,) = last.locator("details + p.none").all_text_contents()
        assert "2" in others and TRICKS[1] in others
        assert not watched.page.locator("article").first.locator("p.none").count()


def test_read_names_what_is_near(outputs, tmp_path):
    with pytest.raises(IgakuError, match="'900A99': did you mean 900A9"):
        igaku.read(outputs, "900A99")
    with (
        pytest.warns(match="no runs"),
        pytest.raises(IgakuError, match="no replies yet"),
    ):
        igaku.read(tmp_path, "900A1")


def notebook(path, *names):
    cells = "".join(f"<tr><td>{name}</td></tr>" for name in names)
    return written(path, f"<table>{cells}</table>")


def written(path, told):
    data = {"text/html": told}
    output = nbformat.v4.new_output("display_data", data)
    cell = nbformat.v4.new_code_cell("igaku.flips(study)", outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_numbers_on_the_other_pages_lead_to_their_question(browser, outputs):
    notebook(outputs / "analysis.ipynb", "900A3", "900F75")
    notebook(outputs / "one" / "run.ipynb", "900A2")
    render(outputs)
    for name, link in (("analysis", "900A3"), ("one/run", "900A2")):
        with opened(browser, outputs / f"{name}.html") as watched:
            links = watched.page.locator("a[href*='replies.html']")
            assert links.all_inner_texts() == [link]  # the other was not asked
            links.click()
            assert watched.page.locator(at(link)).is_visible()
    with opened(browser, outputs / "index.html") as watched:
        watched.page.locator("a[href='replies.html']").click()
        assert watched.page.locator("article").count() == ASKED


def test_a_page_without_replies_beside_it_has_no_such_links(tmp_path):
    page = render_notebook(notebook(tmp_path / "analysis.ipynb", "900A3"))
    assert "900A3" in page.read_text("utf-8")
    assert "replies.html" not in page.read_text("utf-8")
