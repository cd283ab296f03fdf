"""What the configuration says of the input images: which HDU is what, and what values mean."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from alignsvc.errors import ConfigError

#: One HDU of a file: its index, its EXTNAME, or (EXTNAME, EXTVER).
HduSelector: TypeAlias = int | str | tuple[str, int]
#: A number, the keyword that holds it, or None for "not known".
ValueSource: TypeAlias = str | float | None

AUTO = "auto"
ALL_BITS = "all"


class WeightType(StrEnum):
    """What the numbers in a weight plane are."""

    WEIGHT = "weight"  #: inverse variance, or proportional to it; 0 = bad
    VARIANCE = "variance"  #: square of the pixels' units
    RMS = "rms"  #: the pixels' units


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file that lies beside the science file and differs from it in a part of its name.

    Parameters
    ----------
    old, new : str
        The last `old` in the file's name becomes `new`: ``ooi`` and ``oow``, or ``.fits`` and
        ``.noise.fits``. Folders are never changed.
    """

    old: str
    new: str

    def __post_init__(self) -> None:
        if not self.old or self.old == self.new:
            raise ConfigError(
                f"images: the sidecar pattern replace: [{self.old!r}, {self.new!r}] names the "
                "science file itself; give the part of its name to replace, and by what"
            )
        if {"/", "\\"} & set(self.old + self.new):
            raise ConfigError(
                f"images: the sidecar pattern replace: [{self.old!r}, {self.new!r}] holds a "
                "slash; a sidecar lies in the folder of its science file"
            )

    def path_for(self, science: str) -> str | None:
        """Return the path or URL of a science file's sidecar; None: its name has no `old` in it."""
        folder, slash, name = science.rpartition("/")
        head, found, tail = name.rpartition(self.old)
        return f"{folder}{slash}{head}{self.new}{tail}" if found else None


@dataclass(frozen=True, slots=True)
class GroupByKeyword:
    """Files whose headers hold the same value of `keyword` are one exposure."""

    keyword: str


@dataclass(frozen=True, slots=True)
class GroupByPath:
    """Files whose paths give the same match of `pattern` are one exposure.

    The match is the pattern's first group if it has one, else all of it.
    """

    pattern: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(
                f"images.group_by: {self.pattern!r} is neither a header keyword nor a regular "
                f"expression: {error}"
            ) from error

    def key_of(self, path: str) -> str | None:
        """Return what the pattern finds in `path`; None if it finds nothing."""
        found = re.search(self.pattern, path)
        if found is None:
            return None
        return found.group(1) if found.re.groups else found.group(0)


def grouping(text: str | None) -> GroupByKeyword | GroupByPath | None:
    """Return the grouping that `images.group_by` means: capitals are a header keyword."""
    if text is None:
        return None
    if re.fullmatch(r"[A-Z0-9_-]{1,8}|HIERARCH .+", text):
        return GroupByKeyword(text)
    return GroupByPath(text)


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How exposures are read from files.

    Parameters
    ----------
    science : "auto", extension or tuple of extensions
        The HDUs that hold science pixels; an extension is an index, a name or (name, version).
        "auto": all named SCI, else every image of two dimensions that has a celestial WCS and is
        not named as an error or quality plane.
    weight, mask : None, extension or Sidecar
        None takes the planes that stand in the science file under their usual names (ERR, VAR,
        IVAR, WHT; DQ).
    weight_type : WeightType
        What the numbers of `weight` are.
    mask_bits : "all", int or tuple of int
        The flag values that make a pixel bad: all, their sum, or each by itself.
    saturation, gain, exposure_time, zero_point : keyword, number or None
        In the pixels' units, electrons per unit of the pixels, seconds, and mag.
    mid_time : "auto", keyword, number or None
        Of the exposure, UTC, MJD. "auto": from MJD-AVG or DATE-AVG, else from
        MJD-OBS or DATE-OBS and the exposure time. A keyword may hold an MJD or a date.
    units : str
        Of the pixels; "auto" takes BUNIT.
    group_by : GroupByKeyword, GroupByPath or None
        Which files make one exposure; None: each by itself.
    """

    science: str | int | tuple[HduSelector, ...] = AUTO
    weight: HduSelector | Sidecar | None = None
    weight_type: WeightType = WeightType.WEIGHT
    mask: HduSelector | Sidecar | None = None
    mask_bits: str | int | tuple[int, ...] = ALL_BITS
    saturation: ValueSource = "SATURATE"
    gain: ValueSource = "GAIN"
    exposure_time: ValueSource = "EXPTIME"
    zero_point: ValueSource = None
    mid_time: ValueSource = AUTO
    units: str = AUTO
    group_by: GroupByKeyword | GroupByPath | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_type", WeightType(self.weight_type))
        if isinstance(self.science, tuple) and not self.science:
            raise ConfigError("images.science: the list is empty; name an HDU or write auto")
        _require_flag_values(self.mask_bits)
        for name in ("gain", "exposure_time"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not value > 0:
                raise ConfigError(f"images.{name}: {value} found, a positive number wanted")
        for name in ("saturation", "zero_point", "mid_time"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not math.isfinite(value):
                raise ConfigError(f"images.{name}: {value} found, a finite number wanted")

    @property
    def science_extensions(self) -> tuple[HduSelector, ...] | None:
        """The science HDUs that are named; None = find them."""
        science = self.science
        if not isinstance(science, tuple):
            return None if science == AUTO else (science,)
        # ("SCI", 1) is one extension; (("SCI", 1), ("SCI", 2)), (1, 2) and ("A", "B") are several.
        if len(science) == 2 and isinstance(science[0], str) and isinstance(science[1], int):
            return ((science[0], science[1]),)
        return science

    @property
    def bad_flags(self) -> int | None:
        """The flag values that make a pixel bad, as one sum; None = any flag does."""
        if isinstance(self.mask_bits, str):
            return None
        if isinstance(self.mask_bits, int):
            return self.mask_bits
        total = 0
        for flag in self.mask_bits:
            total |= flag
        return total

    @property
    def sidecars(self) -> tuple[Sidecar, ...]:
        """The sidecar patterns, weight before mask."""
        return tuple(s for s in (self.weight, self.mask) if isinstance(s, Sidecar))


def _require_flag_values(mask_bits: str | int | tuple[int, ...]) -> None:
    if isinstance(mask_bits, str):
        if mask_bits != ALL_BITS:
            raise ConfigError(
                f"images.mask_bits: {mask_bits!r} found; all, a sum of flag values or a list of "
                "flag values wanted"
            )
    elif isinstance(mask_bits, int):
        if mask_bits < 0:
            raise ConfigError(
                f"images.mask_bits: {mask_bits} found; a sum of flags is not negative"
            )
    else:
        wrong = [flag for flag in mask_bits if flag <= 0 or flag & (flag - 1)]
        if wrong:
            raise ConfigError(
                f"images.mask_bits: {wrong[0]} in the list is not a flag value; list 1, 2, 4, 8, "
                "... (values, not bit numbers), or give their sum as one integer"
            )
