"""A key, planted wherever one may stand, and searched for in every byte written."""

import base64
import html
import io
import json
import sys
import traceback
import urllib.parse
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from stand_in import Answer, StandIn

from igaku import cli, workbook, writing
from igaku.ask import asker, run
from igaku.errors import IgakuError
from igaku.exam.questions import load_exam
from igaku.params.settings import settings_from
from igaku.redaction import KEYS, PROXIES, cleaned, discreet, redacted
from igaku.study.declared import declare
from igaku.study.families import open_study
from igaku.study.tables import put_table

KEY = 'sk-Ab3/+x"9zQ7&k'  # has to be escaped in JSON, in an address and in a page
FORMS = {
    "as it is": KEY,
    "JSON": json.dumps(KEY)[1:-1],
    "JSON, slashes too": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "address": urllib.parse.quote(KEY, safe=""),
    "page": html.escape(KEY),
    "base64": base64.b64encode(KEY.encode()).decode().rstrip("="),
    "Basic": base64.b64encode(f":{KEY}".encode()).decode().rstrip("="),
}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    """The key of this process, which is of every kind that a process may have."""
    for name in (*KEYS, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IGAKU_API_KEY", KEY)
    monkeypatch.setattr(asker, "BACKOFF", 0.001)
    return KEY


def leaks(*places, said=""):
    """Where a form of the key stands: names and bytes of all files, and what was said.

    A JSON file is looked through as its values, too: an escape hides nothing.
    """
    found = [f"{name} in what was said" for name, f in FORMS.items() if f in said]
    for path in (path for place in places for path in place.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        texts = [str(path), data.decode("utf-8", "replace")]
        texts.append(texts[1].encode().decode("unicode_escape", "replace"))
        stands = [name for name, f in FORMS.items() if any(f in t for t in texts)]
        found += [f"{name} in {path}" for name in stands]
    return found


def said_by(work):
    """What some work prints and warns, its error and its trace included."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            work()
        except (Exception, SystemExit):
            traceback.print_exc()
    return out.getvalue()


# --- a server that tells the key back -------------------------------------------------


ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)


def choice(**message):
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


def streamed():
    """An event stream that tells the key in two pieces."""
    pieces = [{"delta": {"content": part}} for part in ("c ", KEY[:5], KEY[5:])]
    pieces.append({"delta": {}, "finish_reason": "stop"})
    lines = [f"data: {json.dumps({'choices': [piece]})}\n\n" for piece in pieces]
    return "".join(lines).encode()


ECHOES = {
    **{f"content, {name}": choice(content=f"c {f}") for name, f in FORMS.items()},
    "reasoning": choice(content="c", reasoning=f"I was sent {KEY}"),
    "unknown field": choice(content="c", **{KEY: [{KEY: KEY}]}),
    "id": choice(content="c") | {"id": KEY},
    "finish": {"choices": [{"message": {"content": "c"}, "finish_reason": KEY}]},
    "tool": choice(content="", tool_calls=[{"function": {"name": KEY}}]),
    "error in 200": {"error": {"message": f"Incorrect API key: Bearer {KEY}"}},
    "text": f"<html>{KEY}</html>".encode(),
    "cut at 500 letters": ("x" * 493 + KEY).encode(),
    "escaped": f'{{"error": "{ESCAPED}"}}'.encode(),
    "stream": streamed(),
}


@pytest.mark.parametrize("status", [200, 401])
def test_a_server_that_tells_the_key_back_changes_nothing_on_disk(
    tmp_path, monkeypatch, status
):
    monkeypatch.chdir(tmp_path)
    questions = load_exam("calibration")[: len(ECHOES)]
    bodies = list(ECHOES.values())
    # Five failures in a row end a run; between two of them all is well.
    given = {"model": "stand-in", "exam": "calibration", "shots": 0, "run": "r"}

    def behave(asked, number):
        if number % 2:
            return Answer()
        body = bodies[number // 2 % len(bodies)]
        return Answer(
            body=body, status=status, headers={"X-Key": urllib.parse.quote(KEY)}
        )

    def work():
        chosen = settings_from(base_url=server.base_url, outputs_dir=tmp_path, **given)
        for _ in range(4):
            print(said_by(lambda: run.run_exam(chosen, questions)))
        study = open_study(tmp_path)
        put_table(tmp_path, "rows", study.runs[0].rows)
        print(study.runs[0].rows.to_string(), study.runs[0].manifest)

    with StandIn(behave, models=("stand-in", KEY)) as server:
        server.facts = {"/props": {"api_key": KEY, "build_info": KEY, KEY: 1}}
        said = said_by(work)
    assert len(server.asked) >= len(questions)
    raw = (tmp_path / "r" / "answers.jsonl").read_text()
    assert "[key]" in raw and "[key]" in (tmp_path / "r/manifest.json").read_text()
    assert leaks(tmp_path, said=said) == []


def test_a_model_that_is_called_by_the_key_is_named_without_it(tmp_path):
    settings = {"model": "stand-in", "exam": "calibration", "shots": 0, "run": "r"}
    with StandIn(lambda asked, n: Answer(model=KEY)) as server:
        place = {"base_url": server.base_url, "outputs_dir": tmp_path}
        chosen = settings_from(**settings, **place)
        questions = load_exam("calibration")[:3]
        said = said_by(lambda: run.run_exam(chosen, questions, progress=False))
    assert "WrongModel" in said and "[key]" in said
    assert leaks(tmp_path, said=said) == []


def test_a_notebook_shows_no_key_that_a_server_tells_back(tmp_path):
    body = {"error": {"message": f"Incorrect API key: {KEY}"}}
    given = {"model": "stand-in", "exam": "calibration", "shots": 0, "limit": 8}
    with StandIn(lambda asked, n: Answer(status=401, body=body)) as server:
        place = {"base_url": server.base_url, "outputs_dir": str(tmp_path)}
        output = tmp_path / "stand-in-calibration" / "run.ipynb"
        said = said_by(lambda: workbook.execute("run.ipynb", output, given | place))
    assert "Incorrect API key: [key]" in output.read_text()
    assert "[key]" in said
    assert leaks(tmp_path, said=said) == []


# --- a user who puts it into a setting ------------------------------------------------

OTHER = "Zx81pQr55TtLmN02vWk9"  # no key of the environment, and yet one

CARRIERS = {
    "user": {"base_url": f"http://me:{OTHER}@host/v1"},
    "user alone": {"base_url": f"https://{OTHER}@host/v1"},
    "user, no address": {"base_url": f"ftp://me:{OTHER}@host/v1"},
    "user, no scheme": {"base_url": f"me:{OTHER}@host:1234/v1"},
    "user, slashes turned": {"base_url": f"http:\\\\me:{OTHER}@host/v1"},
    "user, a slash in the word": {"base_url": f"http://me:a/{OTHER}@host/v1"},
    "query": {"base_url": f"http://host/v1?api_key={OTHER}"},
    "query, other name": {"base_url": f"http://host/v1?v=1&access_token={OTHER}"},
    "query, no name": {"base_url": f"http://host/v1?{OTHER}"},
    "path": {"base_url": f"http://host/{OTHER}/v1"},
    "path, named": {"base_url": f"http://host/key/{OTHER[:9]}/v1"},
    "path, marked": {"base_url": f"http://host/sk-{OTHER.lower()}/v1"},
    "path, quoted": {"base_url": f"http://host/{urllib.parse.quote(KEY, safe='')}/v1"},
    "fragment": {"base_url": f"http://host/v1#{OTHER}"},
    "headers": {"extra_body": {"headers": {"Authorization": f"Bearer {OTHER}"}}},
    "extra_headers": {"extra_body": {"extra_headers": {"X-Auth": OTHER}}},
    "any header": {"extra_body": {"extra_headers": {"Who": OTHER}}},
    **{
        name: {"extra_body": {name: OTHER}}
        for name in (
            *("key", "token", "access", "api_key", "apiKey", "X-Auth", "secret"),
            *("Authorization", "password", "client_secret", "access_token"),
        )
    },
    "deep": {"extra_body": {"a": [{"b": {"tools": [{"api-key": OTHER}]}}]}},
    "by its form": {"extra_body": {"note": f"Bearer {OTHER}"}},
    "by its form, as a name": {"extra_body": {"a": {f"sk-{OTHER}": 1}}},
    "own, anywhere": {"extra_body": {"a": {"b": ["x", {"c": f"v {KEY}"}]}}},
    "model": {"model": KEY},
    "identifier": {"identifier": KEY},
    "card": {"card": {"note": f"made with {KEY}"}},
    "no mapping": {"extra_body": f"Bearer {OTHER}"},
    "no folder": {"outputs_dir": f"runs/{KEY}"},
}


@pytest.mark.parametrize("given", CARRIERS.values(), ids=CARRIERS)
def test_a_setting_that_holds_a_key_is_refused_without_repeating_it(given, tmp_path):
    with pytest.raises(IgakuError) as caught:
        settings_from(**{"model": "m", "outputs_dir": tmp_path} | given)
    told = "".join(traceback.format_exception(caught.value))
    assert OTHER not in told and OTHER.lower() not in told and KEY not in told
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "https://api.cloudflare.com/client/v4/accounts/"
         "0123456789abcdef0123456789abcdef/ai/v1"},
        {"base_url": "https://api.runpod.ai/v2/a1b2c3d4e5f6g7/openai/v1"},
        {"base_url": "http://h/2f1b5f7a-93a0-4c0f-8a10-5d5e0d7f6a11/v1"},
        {"base_url": "http://127.0.0.1:1234/v1"},
        {"base_url": "http://127.0.0.1:1234/@team/v1"},
        {"extra_body": {"stop_token_ids": [1], "prompt_cache_key": "study"}},
        {"extra_body": {"chat_template_kwargs": {"eos_token": "</s>"}}},
        {"extra_body": {"skip_special_tokens": False, "token": None}},
        {"extra_body": {"response_format": {"json_schema": {"schema": {
            "properties": {"key": {"type": "string"}, "headers": {"type": "object"}}
        }}}}},
    ],
)  # fmt: skip
def test_what_only_looks_like_a_key_is_taken(given):
    assert settings_from(model="m", **given)


@pytest.mark.parametrize("command", ["check", "sweep", "rescue", "declare"])
def test_a_command_that_is_given_a_key_says_and_writes_nothing_of_it(
    command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    address = f"http://me:{OTHER}@127.0.0.1:9/v1"
    place = ["--outputs", str(tmp_path / "outputs")]
    file = tmp_path.parent / f"{tmp_path.name}.yaml"
    file.write_text(f"models: [lab-mlx-8bit]\nendpoints:\n- {address}\n")
    words = {
        "check": ["check", "openai-8bit", "--base-url", address],
        "sweep": ["sweep", str(file), *place],
        "rescue": ["rescue", "lab-mlx-8bit", "--base-url", address, *place],
        "declare": ["declare", str(tmp_path), "--question", f"Does {KEY} help?"],
    }
    monkeypatch.setattr(sys, "argv", ["igaku", *words[command]])
    said = said_by(cli.main)
    assert OTHER not in said
    assert leaks(tmp_path, said=said) == []
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(OTHER not in path.read_text() for path in written)
    assert bool(written) == (command == "declare")


def test_a_notebook_that_is_given_a_key_ends_in_a_sentence_without_it(tmp_path):
    """papermill has written its cell of parameters by then: the sentence says so."""
    output = tmp_path / "m" / "run.ipynb"
    given = {"model": "m", "base_url": f"http://me:{OTHER}@127.0.0.1:9/v1"}
    said = said_by(lambda: workbook.execute("run.ipynb", output, given))
    assert OTHER not in said and "delete the notebook" in said
    cells = json.loads(output.read_text())["cells"]
    shown = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    assert OTHER not in json.dumps(shown)


# --- what is no secret ----------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        *("x", "EMPTY", "lm-studio", "not-needed", "no-key-required", "none", ""),
        *("sk-no-key-required", "secret", "12345678", "--------"),
    ],
)
def test_a_placeholder_is_cut_out_of_nothing(key, tmp_path, monkeypatch):
    monkeypatch.setenv("IGAKU_API_KEY", key)
    text = f"before {key} after, 12345678.5 and lm-studio"
    assert redacted(text) == text and discreet(text) == text
    row = {"content": text, "seconds": 12345678, key: [key]}
    assert json.loads(writing.as_line(row)) == row
    assert settings_from(model=f"lm-studio {key}")


def test_the_password_of_a_proxy_is_a_secret(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pass%2Fword9@proxy:3128")
    told = "407 from http://me:pass%2Fword9@proxy:3128, sent pass/word9"
    assert redacted(told) == "407 from http://me:[key]@proxy:3128, sent [key]"


def test_what_is_written_twice_is_cut_twice(tmp_path):
    assert cleaned({KEY: [KEY, {"a": (1, None, f"<{KEY}>")}]}) == {
        "[key]": ["[key]", {"a": [1, None, "<[key]>"]}]
    }
    writing.put(tmp_path / "page.html", f"<p>{html.escape(KEY)}</p>")
    declare(tmp_path, question=f"Is {KEY} better?")
    assert leaks(tmp_path) == []
    assert (tmp_path / "page.html").read_text() == "<p>[key]</p>"


def test_an_error_holds_no_key_however_it_is_made():
    told = IgakuError(f"http://u:{OTHER}@h answered {KEY}")
    assert str(told) == "http://[key]@h answered [key]"
    assert KEY not in repr(told) and KEY not in "".join(told._render_traceback_())
    plain = "See basic information and the bearer authentication of the server."
    assert str(IgakuError(plain)) == plain


def test_nothing_but_the_writer_opens_a_file_for_writing(checkout):
    """What has to write otherwise is named here with its reason."""
    others = {
        "igaku/lab/mlx_folder.py", "igaku/lab/variants.py",  # models, built aside
        "igaku/lab/checkpoint.py", "igaku/lab/serve.py",
        "igaku/exam/igakuqa.py",  # downloads, checked by their hash
        "igaku/ask/folder.py", "igaku/sweep/lanes.py",  # locks, which hold a pid
        "igaku/writing.py",
    }  # fmt: skip
    ways = (".write_text(", ".write_bytes(", '.open("w', '.open("a', '.open("x')
    found = set()
    for path in sorted(Path(checkout, "igaku").rglob("*.py")):
        if any(way in path.read_text() for way in ways):
            found.add(path.relative_to(checkout).as_posix())
    assert found - others == set()
