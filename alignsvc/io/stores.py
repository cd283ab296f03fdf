"""From a place to what is there: its objects, its content, a file that takes its place."""

from __future__ import annotations

from alignsvc.errors import RunStoreError
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.objects import LocalObjects, ObjectStore
from alignsvc.io.places import Place, UrlPlace


def objects_at(place: Place, *, is_scratch: bool = False) -> ObjectStore:
    """Return the objects below a place.

    Parameters
    ----------
    place : Place
    is_scratch : bool
        Whether a power cut may take what was written last: a disk is not waited for then. What
        is in a bucket is safe when it is written.
    """
    if isinstance(place, UrlPlace):
        return BucketObjects(place)
    return LocalObjects(place, is_scratch=is_scratch)


def content_of(place: Place) -> bytes:
    """Return the content of the object or file at a place.

    Raises
    ------
    RunStoreError
        There is none, or it cannot be read.
    """
    content = objects_at(place.parent).find(place.name)
    if content is None:
        raise RunStoreError(f"{place}: there is no such file; give one that a run has left")
    return content
