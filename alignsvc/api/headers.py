"""Write corrected headers into files, and take them back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alignsvc.io.header_files import revert as revert_file
from alignsvc.io.places import Place, place_of, run_place
from alignsvc.run.verbs.applying import Target, apply_run, each_written
from alignsvc.run.verbs.applying import apply_from as put_on_files
from alignsvc.run.verbs.applying import destination as target_of


def destination(
    *, in_place: bool = False, to: Place | str | None = None, head: bool = False
) -> Target:
    """Return where corrected headers go: full copies, in the run's own ``wcs/``, unless told.

    Parameters
    ----------
    in_place : bool
        Edit the inputs.
    to : path, URL or None
        A folder for the copies, or the ``.head`` files.
    head : bool
        Write ``.head`` files (for SWarp) and no copies.

    Raises
    ------
    ConfigError
        `in_place` and another of them.
    """
    folder = None if to is None else place_of(str(to))
    return target_of(in_place=in_place, to=folder, head=head)


def apply(run: Place | str, target: Target | None = None) -> tuple[Place, ...]:
    """Write the corrected headers of a finished run once more; return the files.

    Parameters
    ----------
    run : path or URL
    target : Target or None
        What `destination` returns; None: copies in the run's ``wcs/``.

    Raises
    ------
    ConfigError
        The run has not ended, or its inputs are not what they were.
    NotAllWritten
        Headers that cannot be written; all others are.
    """
    return apply_run(run_place(str(run)), target or destination())


def apply_from(
    table: Place | str, files: Sequence[Place | str], target: Target | None = None
) -> tuple[Place, ...]:
    """Put stored corrections on other files of the same exposures; return the files written.

    Parameters
    ----------
    table : path or URL
        A ``corrections.ecsv``.
    files : sequence of paths or URLs
        Each is the exposure of its name.
    target : Target or None
        As of `apply`; None: copies in ``wcs/`` beside the table.

    Raises
    ------
    ConfigError
        A file matches no exposure of the table, or more than one.
    NotAllWritten
        Headers that cannot be written; all others are.
    """
    places = tuple(place_of(str(file)) for file in files)
    return put_on_files(place_of(str(table)), places, target or destination())


def revert(files: Sequence[Path | str]) -> tuple[Path, ...]:
    """Restore the archived WCS of files, bit for bit; return them.

    Raises
    ------
    NotAllWritten
        Some hold no correction of ours, or cannot be restored; all others are.
    """
    return each_written([Path(file) for file in files], _reverted)


def _reverted(file: Path) -> tuple[Path, ...]:
    revert_file(file)
    return (file,)
