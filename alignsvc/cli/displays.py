"""Where what goes on is shown: live on a terminal, as lines in a log, or not at all.

All three are told the same, by whoever drives a run (`Driven`) and by whoever watches one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from alignsvc.cli.options import Output
from alignsvc.cli.output import printable
from alignsvc.cli.progress_text import BLOCKS, HASHES, headers_line, progress_line, progress_lines
from alignsvc.run.records.events import HeadersRead
from alignsvc.run.status.progress import RunProgress

#: Frames a second of the display of a terminal.
_FRAMES_PER_S = 4
#: Columns of a frame at the most: a terminal that is made narrower than what it shows wraps that.
_WIDEST = 100
#: Lines of a log on one stage: so far apart at least, in seconds and as part of the stage, or in
#: any case after so long.
_LEAST_S, _LEAST_PART, _MOST_S = 30.0, 0.1, 60.0


class Display(Protocol):
    """Shows what goes on."""

    def show(self, progress: RunProgress, now_s: float) -> None:
        """Take what goes on, at a time by the driver's clock."""
        ...

    def read(self, headers: HeadersRead) -> None:
        """Take how far a reading of headers is."""
        ...

    def say(self, sentence: str, time_s: float | None = None) -> None:
        """Print what is to stay in sight, and was so at a time; None = now."""
        ...

    def log(self, sentence: str, time_s: float | None = None) -> None:
        """Print what a display shows by itself: of use in a log only."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Show nothing meanwhile: somebody is asked something."""
        ...


@contextmanager
def display(console: Console, output: Output) -> Iterator[Display]:
    """Yield what shows things on a console, as far as that can and the user wants it to."""
    if output.as_json or output.is_quiet:
        yield NoDisplay()
    elif output.is_plain or not _is_live(console):
        yield LinesDisplay(console)
    else:
        with LiveDisplay(console) as live:
            yield live


def _is_live(console: Console) -> bool:
    """Return whether a cursor can be moved on it: not where somebody forces colours into a file."""
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


class NoDisplay:
    """Shows nothing."""

    def show(self, progress: RunProgress, now_s: float) -> None:
        """Take no notice."""

    def read(self, headers: HeadersRead) -> None:
        """Take no notice."""

    def say(self, sentence: str, time_s: float | None = None) -> None:
        """Take no notice."""

    def log(self, sentence: str, time_s: float | None = None) -> None:
        """Take no notice."""

    def paused(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


class LinesDisplay:
    """Prints lines, each with its time, no more of them than a log can bear.

    Parameters
    ----------
    console : Console
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._about: object = None
        self._told_s = 0.0
        self._told_part = 0.0

    def show(self, progress: RunProgress, now_s: float) -> None:
        """Print a line on the stage now and then."""
        stage = progress.view.stage
        if stage is None:
            return
        n_ended = 0 if progress.done is None else progress.done.n_ended
        if self._is_time(stage, n_ended / max(1, stage.n_tasks)):
            self.say(progress_line(progress, now_s))

    def read(self, headers: HeadersRead) -> None:
        """Print a line on the reading now and then."""
        if self._is_time("headers", headers.done / max(1, headers.total)):
            self.say(headers.text)

    def say(self, sentence: str, time_s: float | None = None) -> None:
        """Print a line."""
        then = datetime.fromtimestamp(self._clock() if time_s is None else time_s, UTC)
        text = f"{then:%Y-%m-%dT%H:%M:%SZ} {sentence}"
        self._console.print(printable(text), soft_wrap=True, highlight=False, markup=False)

    def log(self, sentence: str, time_s: float | None = None) -> None:
        """Print a line."""
        self.say(sentence, time_s)

    def paused(self) -> AbstractContextManager[None]:
        """Do nothing: lines are in nobody's way."""
        return nullcontext()

    def _is_time(self, about: object, part: float) -> bool:
        """Return whether there is news enough of what is done in part."""
        now_s = self._clock()
        if about is not self._about and about != self._about:
            self._about, self._told_s, self._told_part = about, now_s, part
            return False
        since_s = now_s - self._told_s
        if since_s < _LEAST_S or (part < self._told_part + _LEAST_PART and since_s < _MOST_S):
            return False
        self._told_s, self._told_part = now_s, part
        return True


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What is shown, and when that was told, by a clock that only goes forward."""

    progress: RunProgress
    now_s: float
    told_s: float


class LiveDisplay:
    """Shows what goes on below all that was said, drawn anew some times a second.

    A context manager: it leaves the terminal as it was, whatever happens.

    Parameters
    ----------
    console : Console
        Of a terminal.
    elapsed : callable
        Seconds that only go forward.
    """

    def __init__(self, console: Console, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._elapsed = elapsed
        self._scene: _Scene | None = None
        self._headers: HeadersRead | None = None
        # One thread draws and prints: Ctrl-C, which comes to the main one, leaves no half of it.
        self._said: deque[str] = deque()
        self._turn = threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="alignsvc-display", daemon=True)
        self._live: Live | None = None

    def show(self, progress: RunProgress, now_s: float) -> None:
        """Draw it with the next frame."""
        self._scene, self._headers = _Scene(progress, now_s, self._elapsed()), None

    def read(self, headers: HeadersRead) -> None:
        """Draw it with the next frame."""
        self._headers = headers

    def say(self, sentence: str, time_s: float | None = None) -> None:
        """Print a line above what is shown."""
        self._said.append(printable(sentence))
        self._wake.set()

    def log(self, sentence: str, time_s: float | None = None) -> None:
        """Take no notice: it is in the picture."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the picture away meanwhile: it would write over the question."""
        self._take_away()
        try:
            yield
        finally:
            self._put_up()

    def _put_up(self) -> None:
        """Show the picture; each time by a new `Live`, as an old one erases what it drew before."""
        with self._turn:
            self._live = Live(
                console=self._console,
                get_renderable=self._drawn,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=self._console.stderr,
                vertical_overflow="crop",
            )
            self._live.start()

    def _take_away(self) -> None:
        with self._turn:
            self._print_said()
            if self._live is not None:
                self._live.stop()
            self._live = None

    def _print_said(self) -> None:
        while self._said:
            text = self._said.popleft()
            self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _go_on(self) -> None:
        while not self._over.is_set():
            self._wake.wait(1.0 / _FRAMES_PER_S)
            self._wake.clear()
            with self._turn:
                self._print_said()
                if self._live is not None:
                    self._live.refresh()

    def _drawn(self) -> Text:
        """Return the present frame; one column stays free, where some terminals wrap."""
        width = max(1, min(_WIDEST, self._console.width - 1))
        marks = HASHES if self._console.options.ascii_only else BLOCKS
        lines: list[str] = []
        if self._headers is not None:
            lines = [headers_line(self._headers, width, marks)]
        elif (scene := self._scene) is not None:
            now_s = scene.now_s + self._elapsed() - scene.told_s
            lines = progress_lines(scene.progress, now_s, width, marks)
        return Text("\n".join(lines), no_wrap=True, overflow="crop")

    def __enter__(self) -> LiveDisplay:
        self._put_up()
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._over.set()
        self._wake.set()
        self._thread.join()
        self._take_away()
