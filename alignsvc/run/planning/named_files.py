"""Files that the configuration names beside the exposures: a grid, catalogues, a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alignsvc.config.schema import Config
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.reference_catalog import ReferenceCatalog
from alignsvc.errors import ConfigError
from alignsvc.io.catalogs import read_user_catalog
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.fits_files import content_digest
from alignsvc.io.grid_files import read_grid
from alignsvc.io.places import place_of
from alignsvc.io.reference_catalogs import read_reference_catalog
from alignsvc.io.source_masks import read_source_mask
from alignsvc.numerics.sources.source_mask import SourceMask
from alignsvc.wording import counted


def given_grid(config: Config) -> MosaicGrid | None:
    """Return the grid that `mosaic.grid` names."""
    name = config.mosaic.grid
    if name is None:
        return None
    with _named_in("mosaic.grid"):
        return read_grid(name, config.mosaic.tile_shape)


def source_digests(config: Config) -> tuple[tuple[str, str], ...]:
    """Return digests of catalogues and of the mask; read now, so that a bad one stops nothing.

    Raises
    ------
    ConfigError
        A catalogue or a mask that cannot be used.
    """
    wanted, stars = config.detection.catalog, config.reference.catalog
    if wanted is not None:
        with _named_in("detection.catalog"):
            read_user_catalog(place_of(wanted), config.detection.weight_column)
    source_mask(config)
    named = (
        ("detection.catalog", wanted),
        ("detection.mask", config.detection.mask),
        ("reference.catalog", stars),
    )
    return tuple((key, "" if path is None else content_digest(path)) for key, path in named)


def source_mask(config: Config) -> SourceMask | None:
    """Return the mask that `detection.mask` names; errors as of its reader."""
    name = config.detection.mask
    if name is None:
        return None
    with _named_in("detection.mask"):
        return read_source_mask(name)


def reference_catalog(config: Config) -> ReferenceCatalog | None:
    """Return the catalogue that `reference.catalog` names; errors as of its reader."""
    name = config.reference.catalog
    if name is None:
        return None
    with _named_in("reference.catalog"):
        return read_reference_catalog(place_of(name))


@contextmanager
def _named_in(key: str) -> Iterator[None]:
    """Put the key that names a file before what is wrong with the file."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{key}: {error}") from error


def require_on_grids(
    config: Config, catalog: ReferenceCatalog | None, grids: Sequence[MosaicGrid]
) -> None:
    """Refuse a catalogue of another part of the sky."""
    if catalog is None or not grids:
        return
    # As far as headers may be off all together.
    beyond = 0.0 if config.alignment.bootstrap is False else config.alignment.bootstrap_radius
    for grid in grids:
        x, y = grid.pixel_from_sky(catalog.sky)
        ny, nx = grid.shape
        inside = (x > -0.5 - beyond) & (x < nx - 0.5 + beyond)
        if (inside & (y > -0.5 - beyond) & (y < ny - 0.5 + beyond)).any():
            return
    middle = grids[0].plane
    raise ConfigError(
        f"reference.catalog: none of the {len(catalog)} stars of {config.reference.catalog} lies "
        f"on the mosaic (about RA {middle.ra_deg:.4f} Dec {middle.dec_deg:+.4f}); give a "
        "catalogue of this field"
    )


def catalog_notes(
    catalog: ReferenceCatalog | None, sound: Sequence[ExposureHeader]
) -> tuple[str, ...]:
    """Return what the user should know of a catalogue and of exposures without a time."""
    if catalog is None:
        return ()
    timeless = [header.ref.id for header in sound if header.mid_time_mjd is None]
    if not timeless or not catalog.has_motion:
        return catalog.notes
    some = ", ".join(timeless[:3]) + (", ..." if len(timeless) > 3 else "")
    return (
        *catalog.notes,
        f"reference.catalog: {counted(len(timeless), 'exposure has', 'exposures have')} no mid "
        f"time ({some}): no proper motion is applied to them; set images.mid_time",
    )
