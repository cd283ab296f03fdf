"""Which HDUs of an exposure's files are its science, weight and mask planes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from alignsvc.domain.exposure import ChipRef, HduRef
from alignsvc.errors import DataError
from alignsvc.io.fits_files import HeaderBlocks, ImageHdu, OpenFits, open_fits
from alignsvc.io.image_settings import HduSelector, ImageSettings, Sidecar, WeightType
from alignsvc.io.wcs_headers import names_celestial
from alignsvc.reasons import FailureKind

_SCIENCE = "SCI"
#: Names under which weights stand beside the science pixels, best first, and what they are.
WEIGHT_NAMES = {
    "ERR": WeightType.RMS,
    "VAR": WeightType.VARIANCE,
    "VARIANCE": WeightType.VARIANCE,
    "IVAR": WeightType.WEIGHT,
    "WHT": WeightType.WEIGHT,
    "WEIGHT": WeightType.WEIGHT,
}
MASK_NAMES = ("DQ", "MASK", "BPM")
#: Planes that "auto" never takes for science, though they may carry a WCS.
_NEVER_SCIENCE = {*WEIGHT_NAMES, *MASK_NAMES, "CTX", "CON", "EXP", "RMS", "SAMP", "TIME", "SKY"}


class PlaneKind(StrEnum):
    """What goes with science pixels."""

    WEIGHT = "weight"
    VARIANCE = "variance"  #: or its root
    MASK = "mask"


def kind_of_plane(name: str) -> PlaneKind | None:
    """Return what an HDU of this name is; None: nothing that is known."""
    if name in MASK_NAMES:
        return PlaneKind.MASK
    if name not in WEIGHT_NAMES:
        return None
    is_weight = WEIGHT_NAMES[name] is WeightType.WEIGHT
    return PlaneKind.WEIGHT if is_weight else PlaneKind.VARIANCE


class OpenFiles:
    """Files opened once each, closed together by the `ExitStack` that they are given."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._open: dict[str, OpenFits] = {}

    def __getitem__(self, path: str) -> OpenFits:
        if path not in self._open:
            self._open[path] = self._stack.enter_context(open_fits(path))
        return self._open[path]

    @property
    def blocks(self) -> tuple[HeaderBlocks, ...]:
        """The header blocks of all files opened so far, in that order."""
        return tuple(file.blocks for file in self._open.values())


@dataclass(frozen=True, slots=True)
class _Plane:
    """A kind of plane that goes with science pixels, for messages and look-up."""

    key: str
    usual_names: tuple[str, ...]


_WEIGHT = _Plane("weight", tuple(WEIGHT_NAMES))
_MASK = _Plane("mask", MASK_NAMES)


def find_chips(
    files: OpenFiles, science_files: tuple[str, ...], settings: ImageSettings
) -> tuple[ChipRef, ...]:
    """Return the chips of an exposure, in file order, with the planes that go with them.

    Raises
    ------
    DataError
        NO_IMAGE, WRONG_DIMENSION, NO_WCS: no science HDU. NO_SIDECAR, BAD_WEIGHT: a weight or
        mask that the settings name is absent or of another shape.
    """
    chips: list[ChipRef] = []
    for path in science_files:
        for image in _science_images(files[path], settings):
            ny, nx = image.shape
            chips.append(
                ChipRef(
                    image.label if len(science_files) == 1 else f"{_tail(path)}[{image.label}]",
                    HduRef(path, image.index),
                    (ny, nx),
                    _companion(files, path, image, settings.weight, _WEIGHT),
                    _companion(files, path, image, settings.mask, _MASK),
                )
            )
    return tuple(chips)


def weight_type_of(files: OpenFiles, weight: HduRef, settings: ImageSettings) -> WeightType:
    """Return what the numbers of a weight plane are: as configured, else by its name."""
    if settings.weight is not None:
        return settings.weight_type
    return WEIGHT_NAMES[files[weight.uri].image(weight.hdu).name]


def _science_images(file: OpenFits, settings: ImageSettings) -> tuple[ImageHdu, ...]:
    if not file.images:
        raise DataError(
            FailureKind.NO_IMAGE,
            f"{file.path}: {len(file.hdus)} HDUs found, none of them an image; leave it out",
        )
    wanted = settings.science_extensions
    if wanted is None:
        return _found_science(file)
    return tuple(_named_science(file, selector) for selector in wanted)


def _named_science(file: OpenFits, selector: HduSelector) -> ImageHdu:
    image = next((image for image in file.images if image.matches(selector)), None)
    if image is None:
        raise DataError(
            FailureKind.NO_IMAGE,
            f"{file.path}: no image HDU {selector!r} found (images: {_labels(file)}); "
            "mend images.science",
        )
    _require_plane(file, image)
    return image


def _found_science(file: OpenFits) -> tuple[ImageHdu, ...]:
    named = tuple(image for image in file.images if image.name == _SCIENCE)
    if named:
        for image in named:
            _require_plane(file, image)
        return named
    possible = [image for image in file.images if image.name not in _NEVER_SCIENCE]
    if not possible:
        raise DataError(
            FailureKind.NO_IMAGE,
            f"{file.path}: its images are named as error or quality planes ({_labels(file)}); "
            "leave it out of images.paths, or name the extension in images.science",
        )
    planes = [image for image in possible if image.is_plane]
    if not planes:
        _require_plane(file, possible[0])
    celestial = tuple(image for image in planes if names_celestial(image.header))
    if not celestial:
        raise DataError(
            FailureKind.NO_WCS,
            f"{file.path}: no image has a celestial WCS (images: {_labels(file)}); "
            "solve the field with an astrometry program first",
        )
    return celestial


def _require_plane(file: OpenFits, image: ImageHdu) -> None:
    if not image.is_plane:
        raise DataError(
            FailureKind.WRONG_DIMENSION,
            f"{file.path} {image.label}: an image of shape {image.shape} found, two dimensions "
            "wanted; name another HDU in images.science or leave the file out",
        )


def _companion(
    files: OpenFiles,
    path: str,
    science: ImageHdu,
    source: HduSelector | Sidecar | None,
    plane: _Plane,
) -> HduRef | None:
    """Return the weight or mask plane of a science HDU; None if there is none and none is named."""
    if isinstance(source, Sidecar):
        return _in_sidecar(files, path, science, source, plane)
    file = files[path]
    if source is not None:
        image = _in_file(file, science, source)
        if image is None:
            raise DataError(
                FailureKind.NO_SIDECAR,
                f"{path} {science.label}: no image HDU {source!r} found (images: "
                f"{_labels(file)}); mend images.{plane.key}",
            )
        _require_same_shape(image, science, f"{path} {image.label}", plane)
        return HduRef(path, image.index)
    for name in plane.usual_names:
        image = _in_file(file, science, name)
        # A plane that nobody asked for is used if it fits, and only then.
        if image is not None and image.shape == science.shape and image.index != science.index:
            return HduRef(path, image.index)
    return None


def _in_file(file: OpenFits, science: ImageHdu, source: HduSelector) -> ImageHdu | None:
    # A name alone means the plane with the science HDU's version.
    wanted = (source, science.version) if isinstance(source, str) else source
    return next((image for image in file.images if image.matches(wanted)), None)


def _in_sidecar(
    files: OpenFiles, path: str, science: ImageHdu, pattern: Sidecar, plane: _Plane
) -> HduRef:
    sidecar = pattern.path_for(path)
    if sidecar is None:
        raise DataError(
            FailureKind.NO_SIDECAR,
            f"{path}: its name holds no {pattern.old!r}, so it has no {plane.key} file by "
            f"images.{plane.key}; mend the pattern or leave the file out",
        )
    try:
        file = files[sidecar]
    except DataError as error:
        if error.kind is not FailureKind.MISSING:
            raise
        raise DataError(
            FailureKind.NO_SIDECAR,
            f"{path}: its {plane.key} file {_tail(sidecar)} is not beside it; copy it there, or "
            f"mend images.{plane.key}",
        ) from error
    by_name = [
        i for i in file.images if science.name and i.matches((science.name, science.version))
    ]
    by_index = [i for i in file.images if i.index == science.index and i.shape == science.shape]
    by_shape = [i for i in file.images if i.shape == science.shape]
    for image in (*by_name, *by_index, *by_shape):
        _require_same_shape(image, science, f"{sidecar} {image.label}", plane)
        return HduRef(sidecar, image.index)
    raise DataError(
        FailureKind.BAD_WEIGHT,
        f"{sidecar}: no image of shape {science.shape} found, as {_tail(path)} {science.label} "
        f"needs (images: {_labels(file)}); mend images.{plane.key}",
    )


def _require_same_shape(image: ImageHdu, science: ImageHdu, where: str, plane: _Plane) -> None:
    if image.shape != science.shape:
        raise DataError(
            FailureKind.BAD_WEIGHT,
            f"{where}: shape {image.shape} found, {science.shape} wanted, that of "
            f"{science.label}; mend images.{plane.key}",
        )


def _labels(file: OpenFits) -> str:
    return "; ".join(f"{i.index}: {i.label} {i.shape}" for i in file.images) or "none"


def _tail(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
