"""igaku asks a local language model the Japanese medical licensing exam.

Names are looked up on first use, so that `import igaku` loads neither pandas nor
the OpenAI client.
"""

import warnings as _warnings
from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.errors import IgakuError
    from igaku.exam.questions import Question, load_exam
    from igaku.pages.replies import read
    from igaku.reading.answer import extract_answer, is_correct, outcome_of
    from igaku.reading.reply import read_reply
    from igaku.study.audits import audit
    from igaku.study.doubtful import doubtful
    from igaku.study.overview import runs
    from igaku.study.pairs import flips, pairs
    from igaku.study.recorded import import_recorded
    from igaku.study.runs import load_runs
    from igaku.study.timing import walls
    from igaku.words import printed

# pooch imports tqdm's notebook bar, which complains of missing widgets in every kernel;
# igaku draws plain bars, because only those survive papermill.
_warnings.filterwarnings("ignore", message="IProgress not found")

_HOMES = {
    "IgakuError": "igaku.errors",
    "Question": "igaku.exam.questions",
    "audit": "igaku.study.audits",
    "doubtful": "igaku.study.doubtful",
    "extract_answer": "igaku.reading.answer",
    "flips": "igaku.study.pairs",
    "import_recorded": "igaku.study.recorded",
    "is_correct": "igaku.reading.answer",
    "load_exam": "igaku.exam.questions",
    "load_runs": "igaku.study.runs",
    "outcome_of": "igaku.reading.answer",
    "pairs": "igaku.study.pairs",
    "printed": "igaku.words",
    "read": "igaku.pages.replies",
    "read_reply": "igaku.reading.reply",
    "runs": "igaku.study.overview",
    "walls": "igaku.study.timing",
}
__all__ = [*_HOMES]

# The rooms that a notebook uses by name.
_ROOMS = (
    *("ask", "exam", "figures", "mechanism", "pages", "params", "statistics"),
    *("study", "words"),
)

__getattr__, __dir__ = _attach("igaku", _HOMES, _ROOMS)
