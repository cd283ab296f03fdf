"""Whether the inputs of a run are still what they were, header writes of its own allowed for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from alignsvc.domain.outcome import Status
from alignsvc.errors import ConfigError
from alignsvc.io import journal
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.header_files import correction_run, revert
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CORRECTIONS
from alignsvc.io.places import Place, UrlPlace, place_of
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.identity import exposure_of, fingerprints_among
from alignsvc.run.records.state import RunState


def require_same(run: Place, plan: Plan, known: RunState) -> None:
    """Raise ConfigError, naming the first difference, unless the plan is that of the run."""
    changed = difference(plan, known)
    if changed:
        raise ConfigError(
            f"{run}: holds another run: {changed}; name another run.directory, or give --new to "
            "replace it"
        )


def require_its_inputs(run: Place, plan: Plan, known: RunState) -> None:
    """Raise ConfigError, naming the first difference, unless a run's inputs are what they were.

    For who goes by the run's own configuration, and has no other to give.
    """
    changed = difference(plan, known)
    if not changed:
        return
    half_written = [
        one for one in plan.headers if one.corrected_by == known.run_id and _is_new(one, known)
    ]
    if known.is_finished and half_written:
        files = " ".join(str(file) for one in half_written for file in files_of(one))
        raise ConfigError(
            f"{run}: {changed}: the run's correction is in its header, and its journal does not "
            f"know of that; `alignsvc apply {run} --in-place` makes it good, or "
            f"`alignsvc revert {files}` takes it back"
        )
    raise ConfigError(
        f"{run}: its inputs are not what they were: {changed}; bring back what was there, or align "
        "what is there now in another run.directory"
        + (
            f"; `alignsvc apply --from {run / CORRECTIONS} FILE...` puts its corrections on other "
            "files of the same exposures"
            if known.is_finished
            else ""
        )
    )


def with_half_written_restored(plan: Plan, known: RunState, book: Journal) -> Plan:
    """Return the plan of a finished run once headers that the journal does not know were put back.

    Somebody died between writing one in place and saying so.
    """
    written = [
        one for one in plan.headers if one.corrected_by == known.run_id and _is_new(one, known)
    ]
    return _restored(plan, known, book, written)


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
            return _difference(name, digests, known)
    return ""


def with_inputs_restored(plan: Plan, known: RunState, book: Journal) -> Plan:
    """Return the plan of an unfinished run once the headers that it wrote have been put back.

    A driver that died while it wrote headers in place leaves some written and some not; which is
    seen in the files, since the last one may not have come to the journal.
    """
    written = [header for header in plan.headers if header.corrected_by == known.run_id]
    return _restored(plan, known, book, written)


def _restored(
    plan: Plan, known: RunState, book: Journal, written: Sequence[ExposureHeader]
) -> Plan:
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
    """Raise ConfigError if headers are to be written in place, and a file may not be replaced."""
    if plan.config.output.wcs != "in_place":
        return
    for one in plan.moving:
        for file in files_of(one.header):
            if isinstance(file, UrlPlace):
                raise ConfigError(
                    f"output.wcs: in_place: {file} lies behind a URL and is only read; set "
                    "output.wcs: copy, which writes to the run, or head"
                )
            folder = file.resolve().parent
            if not os.access(folder, os.W_OK):
                raise ConfigError(
                    f"output.wcs: in_place: {file} cannot be replaced, since {folder} may not be "
                    "written; make it writable, or set output.wcs: copy, which writes to the run"
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


def _is_new(header: ExposureHeader, known: RunState) -> bool:
    """Return whether the journal does not know an exposure's headers as they are now."""
    digest = header.ref.fingerprint
    mine = [one for one in known.headers if one.exposure == header.ref.id]
    states = {*(one.before for one in mine), *(one.after for one in mine)}
    return digest not in {*states, fingerprints_among(known.parts).get(header.ref.id)}


def _is_ours(
    name: str, digests: tuple[str | None, str | None], plan: Plan, known: RunState
) -> bool:
    exposure = exposure_of(name)
    if exposure is None:
        return False
    if not known.is_finished:
        ours = {h.ref.id for h in plan.headers if h.corrected_by == known.run_id}
        return exposure in ours
    written = {(h.exposure, h.before, h.after) for h in known.headers}
    return (exposure, *digests) in written or (exposure, *reversed(digests)) in written


def _difference(name: str, digests: tuple[str | None, str | None], known: RunState) -> str:
    old, new = digests
    what = exposure_of(name) or name
    end = known.ended.get(what)
    if old is None and end is not None and end.status is Status.FAILED:
        return (
            f"exposure {what} had failed and can be read now (`alignsvc retry RUN --failed` takes "
            "it in)"
        )
    kind = "exposure" if what != name else "setting"
    if new is None:
        return f"{kind} {what} is not in this one"
    if old is None:
        return f"{kind} {what} is new"
    return f"{kind} {what} differs" + (" (its headers or size changed)" if what != name else "")
