"""What of a configuration a run is known by: settings that change numbers, and what files hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alignsvc.config.schema import Config
from alignsvc.domain.digest import digest_of

#: Keys that name files: what is in these is part of a run's identity, not where they lie.
_NAME_FILES = frozenset(
    {
        "images.paths",
        "detection.catalog",
        "detection.mask",
        "reference.catalog",
        "reference.image",
        "mosaic.grid",
        "alignment.tangent_plane",
    }
)

#: How parts of an identity are named that are inputs.
_INPUT = "input "


def input_part(exposure: str) -> str:
    """Return the name of the part of an identity that an exposure's files are."""
    return f"{_INPUT}{exposure}"


def exposure_of(part: str) -> str | None:
    """Return the exposure whose files a part of an identity is; None for a setting."""
    return part.removeprefix(_INPUT) if part.startswith(_INPUT) else None


def fingerprints_among(parts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the fingerprint of each exposure among the parts of an identity, by its id."""
    return {
        exposure: digest for part, digest in parts if (exposure := exposure_of(part)) is not None
    }


def setting_parts(config: Config) -> Iterator[tuple[str, str]]:
    """Yield a digest of each setting that changes numbers, files apart."""
    tree = config.model_dump(mode="json", exclude={"cluster", "run", "output"})
    for section, keys in sorted(tree.items()):
        for key, value in sorted(keys.items()):
            if f"{section}.{key}" not in _NAME_FILES:
                yield (f"{section}.{key}", digest_of(repr(value)))
    yield ("run.seed", digest_of(config.run.seed))
