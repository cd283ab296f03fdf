"""A configuration with nothing left unsaid, so that two ways to say the same are one.

What a run is known by, and what it stores, would otherwise depend on whether somebody wrote a
default down, and change its meaning with the version that has another one.
"""

from __future__ import annotations

import typing

from alignsvc.config.build import method_settings
from alignsvc.config.schema import Config, Named
from alignsvc.fields import field_names
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.sources.skies import SKIES
from alignsvc.registry import Registry

T = typing.TypeVar("T")


def resolved(config: Config) -> Config:
    """Return `config` with all settings of its plug-ins, and the number of full passes, filled in.

    The cluster's are left as they are: they change no number.

    Raises
    ------
    ConfigError
        A plug-in or a setting of one does not exist.
    """
    images, mosaic, alignment = config.images, config.mosaic, config.alignment
    method = Named(name=alignment.method.name, **method_settings(alignment.method))
    passes = (alignment.max_passes, alignment.max_full_passes)
    return config.model_copy(
        update={
            "images": images.model_copy(update={"sky": _whole(SKIES, images.sky)}),
            "mosaic": mosaic.model_copy(update={"resampler": _whole(RESAMPLERS, mosaic.resampler)}),
            "alignment": alignment.model_copy(update={"method": method, "max_iterations": passes}),
        }
    )


def _whole(family: Registry[T], chosen: Named) -> Named:
    """Return a plug-in with all its settings; a whole number for a real one is that number."""
    plugin = family.build(chosen.name, chosen.settings)
    types = typing.get_type_hints(type(plugin))
    settings: dict[str, typing.Any] = {}
    for name in field_names(plugin):
        value = getattr(plugin, name)
        settings[name] = float(value) if types[name] is float else value
    return Named(name=chosen.name, **settings)
