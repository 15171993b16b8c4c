"""Names that moved to `plan` and `asker`, until all who import them have moved too."""

from igaku.ask.asker import Attempt as Attempt
from igaku.ask.asker import _row as _row
from igaku.ask.plan import PROBE_FACTOR as PROBE_FACTOR
from igaku.ask.plan import Item as Item
from igaku.ask.plan import plan_of as plan_of
