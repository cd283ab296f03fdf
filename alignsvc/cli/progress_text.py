"""What is going on, as text of a given width: several lines on a terminal, one in a log."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.io.control import Progress
from alignsvc.run.records.events import HeadersRead
from alignsvc.run.records.stage_words import count_words, rate_words, stage_words, task_words
from alignsvc.run.records.worker_words import worker_words
from alignsvc.run.status.pace import Forecast
from alignsvc.run.status.progress import RunProgress
from alignsvc.run.status.run_status import age_text

#: Of a bar: what is done, and what is not; the second where a terminal knows ASCII alone.
BLOCKS, HASHES = "█░", "#."
_WIDEST_BAR, _NARROWEST_BAR = 40, 8
_GAP = "  "


def progress_lines(
    progress: RunProgress, now_s: float, width: int, marks: str = BLOCKS
) -> list[str]:
    """Return what a terminal shows, in lines of at most `width` characters.

    Parameters
    ----------
    progress : RunProgress
    now_s : float
        By the driver's clock.
    width : int
        Of the terminal.
    marks : str
        Of bars: `BLOCKS` or `HASHES`.
    """
    blocks = [
        _stage_line(progress, width, marks),
        *_wrapped(_speed(progress, progress.forecast(now_s)), width),
        *_wrapped(_exposures(progress), width),
        movement_line(progress, width),
        *_wrapped([] if progress.sample is None else worker_words(progress.sample), width),
    ]
    return [line[:width] for line in blocks if line]


@dataclass(frozen=True, slots=True)
class _Bar:
    """What part of a bar is full, and what it is drawn with."""

    part: float
    marks: str

    def of(self, length: int) -> str:
        n = int(length * min(1.0, self.part))
        return self.marks[0] * n + self.marks[1] * (length - n)


def headers_line(read: HeadersRead, width: int, marks: str = BLOCKS) -> str:
    """Return how far a reading of headers is, with a bar."""
    rate = f" read, {read.done / read.seconds:.0f} a second" if read.seconds > 0 else ""
    count, part = _of(read.done, read.total, rate), read.done / max(1, read.total)
    return _with_bar("headers", count, _Bar(part, marks), width)


def progress_line(progress: RunProgress, now_s: float) -> str:
    """Return how far the present stage is, in one line; empty between two stages."""
    stage = progress.view.stage
    if stage is None:
        return ""
    ended = "" if progress.done is None else f"{progress.done.n_ended} of "
    parts = [
        f"{stage_words(stage.stage, stage.pass_number)}: {ended}"
        f"{count_words(stage.stage, stage.n_tasks)}",
        *_troubles(progress.done),
        *_speed(progress, progress.forecast(now_s)),
        *([] if progress.sample is None else worker_words(progress.sample)),
    ]
    return ", ".join(parts)


def movement_line(progress: RunProgress, width: int) -> str:
    """Return the largest movement of each pass, the last ones first to be kept, and where to."""
    moved = progress.movements_px
    if not moved:
        return ""
    how = _trend(moved, progress.eps_shift_px)
    told = [f"{value:.4f}" for value in moved]
    while len(told) > 1 and len(_movement(told, how, len(told) < len(moved))) > width:
        told.pop(0)
    return _movement(told, how, len(told) < len(moved))


def _movement(told: list[str], how: str, is_cut: bool) -> str:
    return f"movement {'... ' * is_cut}{' -> '.join(told)} px: {how}"


def _trend(moved: tuple[float, ...], eps_shift_px: float) -> str:
    """Return whether movements fall, and what of."""
    if moved[-1] <= eps_shift_px:
        return f"below eps_shift {eps_shift_px:g}"
    if len(moved) == 1:
        return f"eps_shift {eps_shift_px:g}"
    return f"{'falls' if moved[-1] < moved[-2] else 'rises'}, eps_shift {eps_shift_px:g}"


def _stage_line(progress: RunProgress, width: int, marks: str) -> str:
    """Return the present stage with its bar, or what comes between two."""
    stage, state = progress.view.stage, progress.view.state
    if stage is None:
        going = state.passes[-1] if state.passes else None
        if going is None or state.is_finished:
            return ""
        if going.solution is not None:
            return "after the loop" if state.loop_end is not None else f"pass {going.number} solved"
        is_measured = bool(progress.stages) and progress.stages[-1].stage == "measure"
        return f"pass {going.number} solve" if is_measured else f"pass {going.number}"
    is_full = bool(stage.pass_number and state.passes and state.passes[-1].is_full)
    name = stage_words(stage.stage, stage.pass_number) + " (full pass)" * is_full
    if progress.done is None:
        return f"{name}{_GAP}{count_words(stage.stage, stage.n_tasks)}"
    n_ended = progress.done.n_ended
    count = _of(n_ended, stage.n_tasks, f" {task_words(stage.stage)}")
    return _with_bar(name, count, _Bar(n_ended / max(1, stage.n_tasks), marks), width)


def _of(n: int, total: int, what: str) -> str:
    return f"{n:>{len(str(total))}}/{total}{what}"


def _with_bar(name: str, count: str, bar: _Bar, width: int) -> str:
    """Return a name, a bar as long as there is room for it, and a count."""
    room = min(_WIDEST_BAR, width - len(name) - len(count) - 2 * len(_GAP))
    if room < _NARROWEST_BAR:
        return f"{name}{_GAP}{count}"
    return f"{name}{_GAP}{bar.of(room)}{_GAP}{count}"


def _troubles(done: Progress | None) -> list[str]:
    if done is None:
        return []
    counts = ((done.n_failed, "failed"), (done.n_skipped, "skipped"), (done.n_reused, "reused"))
    return [f"{n} {how}" for n, how in counts if n]


def _speed(progress: RunProgress, forecast: Forecast) -> list[str]:
    """Return how fast the present stage goes, and how long it and the pass still take."""
    stage, pace = progress.view.stage, forecast.pace
    if stage is None or pace.per_s is None:
        return []
    words = [rate_words(stage.stage, pace.per_s)]
    if pace.left_s is not None:
        words.append(f"{age_text(pace.left_s)} left")
    if forecast.pass_left_s is not None:
        words.append(f"{age_text(forecast.pass_left_s)} to the end of the pass")
    return words


def _exposures(progress: RunProgress) -> list[str]:
    """Return how the exposures stand, and what did not go well in the present stage."""
    if not progress.view.n_entries:
        return []
    counts = progress.counts
    going = (
        f"{counts.aligned} aligned" if progress.view.state.is_finished else f"{counts.going} going"
    )
    told = [f"exposures {going}, {counts.skipped} skipped, {counts.failed} failed"]
    return told + [f"of this stage {text}" for text in _troubles(progress.done)]


def _wrapped(parts: list[str], width: int) -> list[str]:
    """Return parts in as few lines as they fit into."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines
