"""Many questions at once: workers ask, each row is on disk before it is counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from igaku.ask.asker import Asker
from igaku.ask.folder import Journal, Row
from igaku.ask.plan import Item


def rows_of(
    asker: Asker,
    items: Sequence[Item],
    journal: Journal,
    take: Callable[[Row], None],
) -> Iterator[Row]:
    """The rows of items as they come in, each of them on disk, then taken into account.

    `take` sees one row at a time and before the next question is asked; what it raises
    ends the asking.
    """
    desk = Desk(asker, deque(items), journal, take)
    working = min(asker.settings.concurrency, len(items))
    for _ in range(working):
        # concurrent.futures would hold up an interrupted notebook, and the end of the
        # process, until the last reply under way has come in.
        threading.Thread(target=desk.work, daemon=True).start()
    try:
        while working:
            row = desk.rows.get()
            if isinstance(row, BaseException):
                raise row
            if row is None:
                working -= 1
            else:
                yield row
    finally:
        asker.stop.set()


@dataclass(frozen=True)
class Desk:
    """Where the workers of a run take their questions, and put down their rows."""

    asker: Asker
    waiting: deque[Item]
    journal: Journal
    take: Callable[[Row], None]
    rows: SimpleQueue[Row | BaseException | None] = field(default_factory=SimpleQueue)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """Ask what is waiting until nothing is, or the run is stopped."""
        try:
            while not self.asker.stop.is_set() and (item := _next(self.waiting)):
                if row := self.asker.ask(item):
                    self._put_down(row)
        except BaseException as trouble:
            self.asker.stop.set()
            self.rows.put(trouble)
        finally:
            self.rows.put(None)

    def _put_down(self, row: Row) -> None:
        # Here and not in the main thread, which Ctrl-C may interrupt at any point.
        with self.turn:
            if self.journal.append(row):
                self.rows.put(row)
                self.take(row)


def _next(waiting: deque[Item]) -> Item | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None
