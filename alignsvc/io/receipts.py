"""Receipts: how a finished task is known, whoever ran it and whatever happened since."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container
from dataclasses import dataclass

from alignsvc.domain.outcome import TaskKey, TaskOutcome
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import FORMAT_VERSION, RECEIPTS, receipt_name
from alignsvc.io.objects import ObjectStore
from alignsvc.version import VERSION


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a worker leaves once its product is in the store.

    Parameters
    ----------
    outcome : TaskOutcome
        With the task's key; `seconds` is the only part that two runs may differ in.
    format_version : int
        Of the run directory.
    package_version : str
        Of the alignsvc that did the work.
    """

    outcome: TaskOutcome
    format_version: int = FORMAT_VERSION
    package_version: str = VERSION


@dataclass(frozen=True, slots=True)
class ReceiptSearch:
    """Answer to "was this task done?".

    Parameters
    ----------
    receipt : Receipt or None
        None = the work is to be done (again).
    refused : str
        Name of a receipt that exists but does not count, empty if there is none.
    why : str
        What is wrong with that one, for messages.
    """

    receipt: Receipt | None
    refused: str = ""
    why: str = ""


def write_receipt(objects: ObjectStore, receipt: Receipt) -> bool:
    """Leave a receipt unless there is one; return whether this call wrote it."""
    return objects.put_if_absent(receipt_name(receipt.outcome.key), _content(receipt))


def replace_receipt(objects: ObjectStore, receipt: Receipt) -> None:
    """Leave a receipt in place of one that `find_receipt` refused."""
    objects.put(receipt_name(receipt.outcome.key), _content(receipt))


def find_receipt(
    objects: ObjectStore, key: TaskKey, product_exists: Callable[[TaskOutcome], bool]
) -> ReceiptSearch:
    """Return the task's receipt if it is whole, of this format, and its product still there.

    Parameters
    ----------
    objects : ObjectStore
    key : TaskKey
    product_exists : callable
        Says whether the product that an outcome names is in the store; asked only of outcomes
        that name one.
    """
    name = receipt_name(key)
    content = objects.find(name)
    if content is None:
        return ReceiptSearch(None)
    try:
        receipt = value_from(unsealed(content), Receipt)
    except (TypeError, ValueError) as error:
        return ReceiptSearch(None, name, f"damaged: {error}")
    if receipt.format_version != FORMAT_VERSION:
        why = f"written in format {receipt.format_version}, this version reads {FORMAT_VERSION}"
        return ReceiptSearch(None, name, why)
    if receipt.outcome.key != key:
        return ReceiptSearch(None, name, f"is of {receipt.outcome.key}")
    if receipt.outcome.product and not product_exists(receipt.outcome):
        return ReceiptSearch(
            None, name, f"its product {receipt.outcome.product} is gone or damaged"
        )
    return ReceiptSearch(receipt)


def forget_receipts(objects: ObjectStore, subjects: Container[str]) -> None:
    """Remove the receipts of all tasks that are about one of `subjects`; damaged ones stay."""
    for name in objects.list(RECEIPTS):
        try:
            receipt = value_from(unsealed(objects.find(name) or b""), Receipt)
        except (TypeError, ValueError):
            continue
        if receipt.outcome.key.subject in subjects:
            objects.delete(name)


def product_is_whole(objects: ObjectStore, outcome: TaskOutcome) -> bool:
    """Return whether the outcome's product is in the store: an object, or a folder with objects.

    An object is read, and has to have the outcome's checksum, if that has one: SHA-256 of its
    bytes.
    """
    content = objects.find(outcome.product)
    if content is None:
        return bool(objects.list(f"{outcome.product}/"))
    return not outcome.checksum or hashlib.sha256(content).hexdigest() == outcome.checksum


def _content(receipt: Receipt) -> bytes:
    data = json_from(receipt, Receipt)
    assert isinstance(data, dict)
    return sealed(data)
