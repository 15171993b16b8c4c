"""What the tests share."""

from pathlib import Path

import pytest

from igaku.paths import PACKAGE

CHECKOUT = PACKAGE.parent


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
