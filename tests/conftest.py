"""What the tests share."""

import signal
from pathlib import Path

import hypothesis
import pytest

from igaku.paths import PACKAGE

CHECKOUT = PACKAGE.parent

# A busy machine is no reason to call a test failed.
hypothesis.settings.register_profile("igaku", deadline=None)
hypothesis.settings.load_profile("igaku")


# A shell that starts the suite in the background has it ignore interrupts, and all that
# the suite starts; the tests of interrupts send some.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Folders whose tests take longest, as they execute notebooks and open browsers: begun
# first, so that none is left for the end.
LONGEST = ("sweep", "ask", "workbook", "pages")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders that take longest first."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this repository."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of exam files and recordings kept beside a checkout, never in it."""
    folder = CHECKOUT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(
            "the exam files and recordings are not in ../shared: "
            "put them there to run this test"
        )
    return folder
