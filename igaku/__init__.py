"""igaku asks a local language model the Japanese medical licensing exam.

Names are looked up on first use, so that `import igaku` loads neither pandas nor
the OpenAI client.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igaku.answer import extract_answer, is_correct
    from igaku.errors import IgakuError
    from igaku.exam import Question, load_exam
    from igaku.recorded import import_recorded
    from igaku.results import load_runs

# pooch imports tqdm's notebook bar, which complains of missing widgets in every kernel;
# igaku draws plain bars, because only those survive papermill.
warnings.filterwarnings("ignore", message="IProgress not found")

__all__ = [
    "IgakuError",
    "Question",
    "extract_answer",
    "import_recorded",
    "is_correct",
    "load_exam",
    "load_runs",
]

HOMES = {
    "IgakuError": "igaku.errors",
    "Question": "igaku.exam",
    "extract_answer": "igaku.answer",
    "import_recorded": "igaku.recorded",
    "is_correct": "igaku.answer",
    "load_exam": "igaku.exam",
    "load_runs": "igaku.results",
}


def __getattr__(name: str) -> Any:
    """A public name from the module that owns it, or a module of the package."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    try:
        return import_module(f"igaku.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != f"igaku.{name}":
            raise
        raise AttributeError(f"module 'igaku' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    """The public names, for completion in a notebook."""
    return [*globals(), *__all__]
