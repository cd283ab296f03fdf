"""Finding exposures: patterns to files, files to exposures, and the names they go by."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from alignsvc.errors import ConfigError, DataError
from alignsvc.io.fits_files import FITS_SUFFIX, heard_warnings, open_fits
from alignsvc.io.image_settings import GroupByKeyword, GroupByPath, ImageSettings
from alignsvc.io.places import UrlPlace, is_url
from alignsvc.io.remote_files import is_pattern, matching
from alignsvc.reasons import FailureKind

_PATTERN_SIGNS = set("*?[")


@dataclass(frozen=True, slots=True)
class ExposureCandidate:
    """Files that make one exposure, not yet opened.

    Parameters
    ----------
    id : str
        Path below the inputs' common parent without the FITS suffix; of grouped files, what
        they have in common.
    files : tuple of str
        Absolute paths and URLs, sorted; sidecars are not among them.
    """

    id: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedExposure:
    """An exposure that cannot be used, and why."""

    id: str
    kind: FailureKind
    message: str

    @classmethod
    def from_error(cls, id: str, error: DataError) -> FailedExposure:
        """Return the failure of exposure `id` that `error` tells of."""
        return cls(id, error.kind, str(error))


@dataclass(frozen=True, slots=True)
class FoundExposures:
    """What the patterns stand for.

    Parameters
    ----------
    candidates : tuple of ExposureCandidate
        In order of id.
    failed : tuple of FailedExposure
        Files that were named but do not exist, in order of id.
    """

    candidates: tuple[ExposureCandidate, ...]
    failed: tuple[FailedExposure, ...]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What the patterns stand for, not yet grouped.

    Parameters
    ----------
    ids : mapping of file to str
        Absolute paths and URLs of files that are there, as far as that is known without asking a
        server, and the ids that they have by themselves.
    failed : tuple of FailedExposure
        Files that were named but do not exist, in order of id.
    """

    ids: Mapping[str, str]
    failed: tuple[FailedExposure, ...]


def find_exposures(
    paths: tuple[str, ...], settings: ImageSettings, also: tuple[str, ...] = ()
) -> FoundExposures:
    """Return the exposures that paths and patterns stand for; parameters of `find_files`.

    Raises
    ------
    ConfigError
        As there; or files that `group_by` cannot group. For a keyword, all of them are opened.
    TransientError
        As there.
    """
    found = find_files(paths, settings, also)
    groups = {file: group_id(file, own, settings) for file, own in found.ids.items()}
    return FoundExposures(grouped(groups), found.failed)


def find_files(
    paths: tuple[str, ...], settings: ImageSettings, also: tuple[str, ...] = ()
) -> FoundFiles:
    """Return the files that paths and patterns stand for; none is opened.

    Files that are the weight or mask of another one found are left out.

    Parameters
    ----------
    paths : tuple of str
    settings : ImageSettings
    also : tuple of str
        Further files, absolute; one that `paths` stand for too counts once.

    Raises
    ------
    ConfigError
        A pattern that matches no file, a folder, a file given twice, two files with one id; a
        bucket that may not be listed.
    TransientError
        The server of a bucket does not answer.
    """
    files = _expanded(paths)
    _refuse_twice(files)
    named = {_real(file) for file in files}
    files += [file for file in also if _real(file) not in named]
    sidecars = {
        _real(sidecar)
        for file in files
        for pattern in settings.sidecars
        if (sidecar := pattern.path_for(file)) is not None
    }
    files = [file for file in files if _real(file) not in sidecars]
    ids = exposure_ids(files)
    # A file behind a URL is asked for when it is read.
    present = {file: ids[file] for file in files if is_url(file) or os.path.lexists(file)}
    failed = tuple(
        FailedExposure(
            ids[file],
            FailureKind.MISSING,
            f"{file}: the file does not exist; mend its path or leave it out",
        )
        for file in sorted(set(files) - set(present))
    )
    return FoundFiles(present, failed)


def exposure_ids(files: Iterable[str]) -> dict[str, str]:
    """Return the id of each file: its path below the common parent, without the FITS suffix.

    Raises
    ------
    ConfigError
        Two files have one id (``a.fits`` and ``a.fits.gz``).
    """
    paths = {file: _as_path(file) for file in files}
    if not paths:
        return {}
    parent = os.path.commonpath([path.parent for path in paths.values()])
    ids: dict[str, str] = {}
    owner: dict[str, str] = {}
    for file, path in paths.items():
        below = path.relative_to(parent).as_posix()
        ids[file] = FITS_SUFFIX.sub("", below)
        other = owner.setdefault(ids[file], file)
        if other != file:
            raise ConfigError(
                f"images.paths: {other} and {file} would both be exposure {ids[file]!r}; "
                "rename one of them or leave it out"
            )
    return ids


def absolute_pattern(path: str) -> str:
    """Return a path or pattern of the configuration as it reads from anywhere.

    Brackets in the name of the present folder are part of that name, not of the pattern.
    """
    if is_url(path):
        return str(UrlPlace(path))
    given = Path(path).expanduser()
    plain = os.path.normpath(given.absolute())
    is_pattern = bool(_PATTERN_SIGNS & set(path)) and not os.path.lexists(plain)
    if given.is_absolute() or not is_pattern:
        return plain
    return os.path.normpath(Path(glob.escape(str(Path.cwd()))) / given)


def _expanded(paths: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for path in paths:
        plain = absolute_pattern(path)
        if is_url(path):
            found += _expanded_url(plain)
            continue
        if Path(plain).is_dir():
            raise ConfigError(
                f"images.paths: {path} is a folder; name the files in it: {Path(path) / '*.fits'}"
            )
        # A file whose own name holds brackets is that file, not a pattern.
        if os.path.lexists(plain) or not _PATTERN_SIGNS & set(path):
            found.append(plain)
            continue
        # Unlike Path.glob, glob.glob leaves hidden files out: other systems' leavings (._a.fits).
        matches = sorted(glob.glob(plain, recursive=True))  # noqa: PTH207
        matches = [match for match in matches if not Path(match).is_dir()]
        if not matches:
            raise ConfigError(
                f"images.paths: {path} matches no file; relative paths start from {Path.cwd()}"
            )
        found += matches
    return found


def _expanded_url(url: str) -> list[str]:
    if not is_pattern(url):
        return [url]
    matches = matching(url)
    if not matches:
        raise ConfigError(f"images.paths: {url} matches no object of the bucket; mend the pattern")
    return matches


def _real(file: str) -> str:
    """Return what two names of one file have in common."""
    return file if is_url(file) else os.path.realpath(file)


def _as_path(file: str) -> Path:
    """Return a path for a file, of which ids are made: a URL's is ``/scheme/bucket/name``."""
    return Path("/" + file.replace("://", "/", 1)) if is_url(file) else Path(file)


def _refuse_twice(files: list[str]) -> None:
    first: dict[str, str] = {}
    for file in files:
        other = first.setdefault(_real(file), file)
        if other is not file:
            also = "" if other == file else f" (as {other} too)"
            raise ConfigError(
                f"images.paths: {file} is given twice{also}; an exposure counts once, so name it "
                "in one path or pattern only"
            )


def grouped(group_ids: Mapping[str, str]) -> tuple[ExposureCandidate, ...]:
    """Return the exposures that files make, by the id of each file's exposure; in order of id."""
    groups: dict[str, list[str]] = defaultdict(list)
    for file, key in group_ids.items():
        groups[key].append(file)
    return tuple(ExposureCandidate(key, tuple(sorted(groups[key]))) for key in sorted(groups))


def group_id(file: str, own_id: str, settings: ImageSettings) -> str:
    """Return the id of the exposure that a file is of; for a keyword the file is opened.

    Raises
    ------
    ConfigError
        `group_by` finds nothing in its name, or it lacks the keyword.
    """
    group_by = settings.group_by
    if group_by is None:
        return own_id
    if isinstance(group_by, GroupByPath):
        key = group_by.key_of(file)
        if not key:
            raise ConfigError(
                f"images.group_by: {group_by.pattern!r} finds nothing in {file}; every file must "
                "match, so widen the pattern or leave the file out"
            )
    else:
        try:
            key = _keyword_value(file, group_by)
        except DataError:
            # It cannot be read: it fails as an exposure of its own, with the reason.
            return own_id
    return FITS_SUFFIX.sub("", key.strip().strip("/"))


def _keyword_value(file: str, group_by: GroupByKeyword) -> str:
    with open_fits(file) as opened, heard_warnings():
        headers = [opened.primary, *(image.header for image in opened.images)]
        for header in headers:
            value = header.get(group_by.keyword)
            if value is not None and str(value).strip():
                return str(value)
    raise ConfigError(
        f"images.group_by: {file} has no {group_by.keyword}; every file must have it, so name "
        "another keyword or leave the file out"
    )
