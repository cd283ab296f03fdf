"""What of a configuration a run is known by: settings that change numbers, and what files hold."""

from __future__ import annotations

from collections.abc import Iterator

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


def setting_parts(config: Config) -> Iterator[tuple[str, str]]:
    """Yield a digest of each setting that changes numbers, files apart."""
    tree = config.model_dump(mode="json", exclude={"cluster", "run", "output"})
    for section, keys in sorted(tree.items()):
        for key, value in sorted(keys.items()):
            if f"{section}.{key}" not in _NAME_FILES:
                yield (f"{section}.{key}", digest_of(repr(value)))
    yield ("run.seed", digest_of(config.run.seed))
