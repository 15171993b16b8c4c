"""What the tests share."""

from pathlib import Path

import hypothesis
import pytest

from igaku.paths import PACKAGE

CHECKOUT = PACKAGE.parent

# A busy machine is no reason to call a test failed.
hypothesis.settings.register_profile("igaku", deadline=None)
hypothesis.settings.load_profile("igaku")


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
