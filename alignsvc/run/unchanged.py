"""Whether the inputs of a run are still what they were, header writes of its own allowed for."""

from __future__ import annotations

from pathlib import Path

from alignsvc.errors import ConfigError
from alignsvc.io import journal
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.header_files import correction_run, revert
from alignsvc.io.journal_store import Journal
from alignsvc.io.places import Place, UrlPlace, place_of
from alignsvc.run.plan import Plan
from alignsvc.run.planning import make_plan
from alignsvc.run.state import RunState


def require_same(run: Place, plan: Plan, known: RunState) -> None:
    """Raise ConfigError, naming the first difference, unless the plan is that of the run."""
    changed = difference(plan, known)
    if changed:
        raise ConfigError(
            f"{run}: holds another run: {changed}; name another run.directory, or give --new to "
            "replace it"
        )


def difference(plan: Plan, known: RunState) -> str:
    """Return the first way in which a plan is not that of a run; empty if it is.

    A file whose header the run has written counts as unchanged: by the journal where the run has
    ended; before that, whatever bears the run's name, since it is put back before work goes on.
    """
    if not known.identity or known.identity == plan.identity:
        return ""
    before, now = dict(known.parts), dict(plan.parts)
    for name in sorted(before | now):
        digests = (before.get(name), now.get(name))
        if digests[0] != digests[1] and not _is_ours(name, digests, plan, known):
            return _difference(name, *digests)
    return ""


def with_inputs_restored(plan: Plan, known: RunState, book: Journal) -> Plan:
    """Return the plan of an unfinished run once the headers that it wrote have been put back.

    A driver that died while it wrote headers in place leaves some written and some not; which is
    seen in the files, since the last one may not have come to the journal.
    """
    written = [header for header in plan.headers if header.corrected_by == known.run_id]
    if not known.identity or not written:
        return plan
    for header in written:
        for file in files_of(header):
            # What lies behind a URL was never written in place.
            if isinstance(file, Path) and correction_run(file) == known.run_id:
                book.require_ours()
                revert(file)
                book.append(journal.HeaderReverted(header.ref.id, str(file)))
    return make_plan(plan.config, plan.earlier)


def files_of(header: ExposureHeader) -> tuple[Place, ...]:
    """Return the files that hold the science images of an exposure."""
    return tuple(dict.fromkeys(place_of(chip.science.uri) for chip in header.ref.chips))


def refuse_read_only(plan: Plan) -> None:
    """Raise ConfigError if headers are to be written in place, and a file lies behind a URL."""
    if plan.config.output.wcs != "in_place":
        return
    for one in plan.moving:
        for file in files_of(one.header):
            if isinstance(file, UrlPlace):
                raise ConfigError(
                    f"output.wcs: in_place: {file} lies behind a URL and is only read; set "
                    "output.wcs: copy, which writes to the run, or head"
                )


def refuse_corrected(plan: Plan, run_id: str) -> None:
    """Raise ConfigError if headers could not be written at the end: another run's are there.

    Parameters
    ----------
    plan : Plan
    run_id : str
        Of the run itself, whose own headers are put back before it goes on.
    """
    if plan.config.output.wcs not in ("copy", "in_place"):
        return
    for one in plan.moving:
        other = one.header.corrected_by
        if other and other != run_id:
            raise ConfigError(
                f"exposure {one.id}: its WCS holds the correction of run {other} already, and a "
                "second one on top of it is refused; `alignsvc revert` its files first, or set "
                "output.wcs: none or head"
            )


def _is_ours(
    name: str, digests: tuple[str | None, str | None], plan: Plan, known: RunState
) -> bool:
    exposure = name.removeprefix("input ")
    if exposure == name:
        return False
    if not known.is_finished:
        ours = {h.ref.id for h in plan.headers if h.corrected_by == known.run_id}
        return exposure in ours
    written = {(h.exposure, h.before, h.after) for h in known.headers}
    return (exposure, *digests) in written or (exposure, *reversed(digests)) in written


def _difference(name: str, old: str | None, new: str | None) -> str:
    what = name.removeprefix("input ") if name.startswith("input ") else name
    kind = "exposure" if what != name else "setting"
    if new is None:
        return f"{kind} {what} is not in this one"
    if old is None:
        return f"{kind} {what} is new"
    return f"{kind} {what} differs" + (" (its headers or size changed)" if what != name else "")
