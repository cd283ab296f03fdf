"""Preloaded by a worker that is to look as if another version were installed there."""

from alignsvc import version

version.VERSION = "0.0.9"
