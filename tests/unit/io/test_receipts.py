"""A receipt counts only if it is whole, of this task, and its product is there."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import FORMAT_VERSION, receipt_name
from alignsvc.io.objects import LocalObjects
from alignsvc.io.receipts import (
    Receipt,
    find_receipt,
    product_is_whole,
    replace_receipt,
    write_receipt,
)

KEY = TaskKey("resample", "night 1/ü", "0" * 64)
OUTCOME = TaskOutcome(
    KEY, TaskStatus.OK, product="tables/a.npz", checksum="ff", facts=(("sky", 0.1),), seconds=2.5
)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def there(outcome: TaskOutcome) -> bool:
    return True


def test_a_receipt_comes_back_as_it_was_written(objects: LocalObjects) -> None:
    assert write_receipt(objects, Receipt(OUTCOME))
    search = find_receipt(objects, KEY, there)
    assert search.receipt == Receipt(OUTCOME)
    assert search.refused == ""


def test_without_a_receipt_the_work_is_to_be_done(objects: LocalObjects) -> None:
    assert find_receipt(objects, KEY, there).receipt is None


def test_the_first_receipt_stays(objects: LocalObjects) -> None:
    write_receipt(objects, Receipt(OUTCOME))
    assert not write_receipt(objects, Receipt(replace(OUTCOME, seconds=9.0)))
    assert find_receipt(objects, KEY, there).receipt == Receipt(OUTCOME)


def test_two_receipts_of_one_task_differ_in_seconds_only(objects: LocalObjects) -> None:
    write_receipt(objects, Receipt(OUTCOME))
    first = objects.get(receipt_name(KEY))
    replace_receipt(objects, Receipt(OUTCOME))
    assert objects.get(receipt_name(KEY)) == first


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"null", b"\xff", b'{"checksum":1}'])
def test_a_damaged_receipt_does_not_count_and_is_named(
    objects: LocalObjects, damage: bytes
) -> None:
    objects.put(receipt_name(KEY), damage)
    search = find_receipt(objects, KEY, there)
    assert search.receipt is None
    assert search.refused == receipt_name(KEY)
    assert search.why.startswith("damaged")


def test_any_cut_or_flipped_byte_is_noticed(objects: LocalObjects) -> None:
    write_receipt(objects, Receipt(OUTCOME))
    whole = objects.get(receipt_name(KEY))
    for place in range(0, len(whole), 7):
        for content in (whole[:place], whole[:place] + b"#" + whole[place + 1 :]):
            objects.put(receipt_name(KEY), content)
            assert find_receipt(objects, KEY, there).receipt is None


def test_a_receipt_of_another_format_does_not_count(objects: LocalObjects) -> None:
    replace_receipt(objects, Receipt(OUTCOME, format_version=FORMAT_VERSION + 1))
    search = find_receipt(objects, KEY, there)
    assert search.receipt is None
    assert (
        search.why == f"written in format {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}"
    )


def test_a_receipt_under_the_name_of_another_does_not_count(objects: LocalObjects) -> None:
    write_receipt(objects, Receipt(OUTCOME))
    other = replace(KEY, digest="1" * 64)
    objects.put(receipt_name(other), objects.get(receipt_name(KEY)))
    assert find_receipt(objects, other, there).receipt is None


def test_a_receipt_without_its_product_does_not_count(objects: LocalObjects) -> None:
    write_receipt(objects, Receipt(OUTCOME))

    def look(outcome: TaskOutcome) -> bool:
        return product_is_whole(objects, outcome)

    search = find_receipt(objects, KEY, look)
    assert search.receipt is None
    assert search.why == "its product tables/a.npz is gone or damaged"
    objects.put("tables/a.npz/0.0", b"")  # a folder of objects counts as well
    assert find_receipt(objects, KEY, look).receipt is not None


def test_an_outcome_without_product_needs_none(objects: LocalObjects) -> None:
    skipped = TaskOutcome(KEY, TaskStatus.SKIPPED, "too_few_sources", "one source")
    write_receipt(objects, Receipt(skipped))
    assert find_receipt(objects, KEY, lambda _: False).receipt == Receipt(skipped)


words = st.text(max_size=8)
outcomes = st.builds(
    TaskOutcome,
    key=st.builds(TaskKey, words, words, words),
    status=st.sampled_from(TaskStatus),
    reason=words,
    message=words,
    product=words,
    checksum=words,
    facts=st.lists(st.tuples(words, st.floats(allow_nan=False)), max_size=3).map(tuple),
    seconds=st.floats(allow_nan=False),
)


@settings(max_examples=50, deadline=None)
@given(outcomes)
def test_every_outcome_survives_the_journey_through_json(outcome: TaskOutcome) -> None:
    data = json_from(Receipt(outcome), Receipt)
    assert isinstance(data, dict)
    assert value_from(unsealed(sealed(data)), Receipt) == Receipt(outcome)


def test_numbers_that_json_lacks_survive_too() -> None:
    for number in (math.inf, -math.inf, -0.0):
        assert repr(value_from(json_from(number, float), float)) == repr(number)
    assert math.isnan(value_from(json_from(math.nan, float), float))


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1.5, int), (True, int), (1, str), ("ok", TaskStatus), ([1], tuple[int, ...])],
)
def test_a_value_of_another_type_is_not_written(value: object, kind: object) -> None:
    with pytest.raises(TypeError, match="codec"):
        json_from(value, kind)
