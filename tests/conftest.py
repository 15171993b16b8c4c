"""What the tests share."""

import gc
import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

from igaku.paths import PACKAGE

CHECKOUT = PACKAGE.parent

# A busy machine is no reason to call a test failed.
hypothesis.settings.register_profile("igaku", deadline=None)
hypothesis.settings.load_profile("igaku")


# The workers fill the cores: threads of one would only wait for those of another.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

# The collector took a twentieth of the time: it is called more seldom.
gc.set_threshold(50_000)

# A shell that starts the suite in the background has it ignore interrupts, and all that
# the suite starts; the tests of interrupts send some.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where Python is told to keep no compiled files, as in many a container, each of the
# processes that the suite starts would compile all that it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# See tests/warm: each kernel that the suite starts would import the libraries anew.
os.environ["JUPYTER_PATH"] = str(Path(__file__).parent / "warm")
os.environ.setdefault("IGAKU_SUITE", str(os.getpid()))

# See tests/lean.
sys.modules["rfc3987_syntax"] = None


# Files that take longest, as they execute notebooks, open browsers or draw: begun
# first, so that no worker is left alone with one at the end.
LONGEST = (
    "test_browser", "test_interrupts", "test_sweep", "test_jupyterlab",
    "test_notebooks", "test_docs_commands", "test_commands",
    "test_document", "test_letters_properties", "test_torture", "test_figures",
    "test_weights", "test_rescue", "test_writing", "test_losses",
    "test_sweep_lm_studio", "test_repeats", "test_audits", "test_recorded",
    "test_serve", "test_replies", "test_first_screen", "test_pairs", "test_runs",
    "test_run", "test_recipes", "test_contrasts", "test_cli", "test_places",
    "test_project", "test_secrets", "test_answer", "test_digits", "test_evidence",
    "test_lmstudio", "test_warm", "test_run_crash", "test_damage", "test_positions",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of the collector's walks."""
    gc.collect()
    gc.freeze()


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
