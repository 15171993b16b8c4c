"""The machine's own Chromium, headless, and what a page did while it was open in it."""

import os
import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESK = 390, 1280  # widths of a window in pixels
HEIGHT = 900

# What a model may write: each would call ran(), were it anything but text.
TRICKS = (
    "<script>ran('script')</script>",
    "<img src=x onerror=ran('img')>",
    "</pre></div><svg onload=ran('svg')></svg>",
    "<details open ontoggle=ran('details')><summary>s</summary></details>",
    "<iframe srcdoc='<script>parent.ran(1)</script>'></iframe>",
    "<style>main { display: none }</style>",
    "[link](javascript:ran('link')) ![x](http://igaku.invalid/x.png)",
    "$\\href{javascript:ran('tex')}{x}$ $$\\frac{1}{2}$$",
    "$\\require{html} \\class{x}{y}$",
)
HOSTILE = "\n".join(TRICKS)


def program():
    """Where Chromium is; without one a test is skipped, and in CI it fails."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = (
            "there is no Chromium here: install it (on Debian apt install chromium)"
        )
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


@contextmanager
def chromium():
    """A browser with a profile of its own, for the time of a `with`."""
    from playwright.sync_api import sync_playwright

    path = program()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page and everything it should not do: complain, ask a host, run a reply."""

    def __init__(self, page):
        self.page = page
        self.complaints, self.requests, self.ran = [], [], []
        page.on("console", self._complained)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", self._spoke)
        page.expose_function("ran", lambda what=None: self.ran.append(what))

    def _complained(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _spoke(self, dialog):
        self.ran.append(dialog.message)
        dialog.dismiss()

    @property
    def asked(self):
        """The addresses it asked for, apart from files and what it carries itself."""
        own = ("file:", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]

    def overflow(self):
        """How many pixels of the document are beyond the right edge of the window."""
        root = "document.documentElement"
        return self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")


@contextmanager
def opened(browser, path, width=DESK, **context):
    """A file in a window of this width, watched from before it is read."""
    window = browser.new_context(
        viewport={"width": width, "height": HEIGHT}, locale="ja-JP", **context
    )
    try:
        watched = Watched(window.new_page())
        watched.page.goto(path.as_uri())
        yield watched
    finally:
        window.close()
