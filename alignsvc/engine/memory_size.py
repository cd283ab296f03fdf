"""Amounts of memory as settings have them."""

from __future__ import annotations

from dask.utils import parse_bytes

from alignsvc.errors import ConfigError


def size_bytes(text: object, key: str, wanted: str = 'a size like "4 GiB"') -> int:
    """Return an amount of memory in bytes.

    Parameters
    ----------
    text : object
        As in the configuration.
    key : str
        Of the setting, for the message.
    wanted : str
        What it may be, for the message.

    Raises
    ------
    ConfigError
        It is none.
    """
    try:
        size = int(parse_bytes(text)) if isinstance(text, str) else 0
    except ValueError:
        size = 0
    if size < 1:
        raise ConfigError(f"{key}: found {text!r}, wanted {wanted}")
    return size
