"""Compiled loops over rows, each against a line of numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.solve import row_loops
from alignsvc.numerics.solve.error_floor import with_floor
from alignsvc.numerics.solve.sums import SumBy

N_ROWS, N_LABELS, WIDTH = 40, 7, 5
RANDOM = np.random.default_rng(5)
LABEL = RANDOM.integers(-1, N_LABELS, N_ROWS)
DESIGN = RANDOM.normal(size=(N_ROWS, 2, WIDTH))
INFORMATION = np.einsum("nij,nkj->nik", *[RANDOM.normal(size=(N_ROWS, 2, 2))] * 2)


def summed(values: np.ndarray) -> np.ndarray:
    return np.array([values[label == LABEL].sum(axis=0) for label in range(N_LABELS)])


def test_rows_are_added_to_the_sums_of_their_labels_and_those_without_to_none() -> None:
    sums = SumBy(N_LABELS, (2, WIDTH))
    sums.add(LABEL[:15], DESIGN[:15])
    sums.add(LABEL[15:].astype(np.int32), DESIGN[15:])
    assert np.allclose(sums.total, summed(DESIGN))


def test_normal_matrices_are_those_of_the_rows() -> None:
    sums = SumBy(N_LABELS, (WIDTH, WIDTH))
    sums.add_normals(LABEL, DESIGN, INFORMATION)
    assert np.allclose(sums.total, summed(np.swapaxes(DESIGN, 1, 2) @ INFORMATION @ DESIGN))


def test_products_with_the_matrix_that_a_row_names() -> None:
    matrices = RANDOM.normal(size=(N_LABELS, WIDTH, 3))
    wanted = np.where(LABEL[:, None, None] >= 0, DESIGN @ matrices[LABEL], 0.0)
    assert np.allclose(row_loops.times_matrix(DESIGN, matrices, LABEL), wanted)


def test_products_with_the_vector_of_a_row() -> None:
    vectors = RANDOM.normal(size=(N_ROWS, WIDTH))
    wanted = np.einsum("nab,nb->na", DESIGN, vectors)
    assert np.allclose(row_loops.times_vector(DESIGN, vectors), wanted)


@pytest.mark.parametrize("n_columns", [4, 1])
def test_pairs_of_rows_of_a_source_are_subtracted_where_their_columns_meet(n_columns: int) -> None:
    """Against the dense ``-V^T V`` of all rows of each source; some see one twice."""
    key, column = np.sort(RANDOM.integers(0, 9, N_ROWS)), RANDOM.integers(0, n_columns, N_ROWS)
    order = np.lexsort((column, key))
    key, column, rows = key[order], column[order], DESIGN[order]
    root = RANDOM.normal(size=(9, 2, 2))
    averaged = row_loops.averaged(rows, root, INFORMATION[order], key)
    assert np.allclose(averaged, root[key] @ INFORMATION[order] @ rows)
    first, second = np.triu_indices(n_columns)
    start = np.searchsorted(first, np.arange(n_columns + 1))
    blocks = np.zeros((len(first), WIDTH, WIDTH))
    row_loops.subtract_pairs(blocks, (start, second), (key, column), averaged)
    wanted = np.zeros((n_columns, n_columns, WIDTH, WIDTH))
    for source in range(9):
        whole = np.zeros((n_columns, 2, WIDTH))
        np.add.at(whole, column[key == source], averaged[key == source])
        wanted -= np.einsum("aip,biq->abpq", whole, whole)
    assert np.allclose(blocks, wanted[first, second])


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-9, 9), st.floats(0.1, 5)), max_size=90))
@settings(max_examples=50, deadline=None)
def test_half_of_the_weight_lies_on_each_side_of_a_median(rows) -> None:
    label, values, weights = (
        (np.array(each) for each in zip(*rows, strict=True))
        if rows
        else (np.zeros(0, int), np.zeros(0), np.zeros(0))
    )
    found = row_loops.medians(label.astype(np.int64), values, weights, 4)
    for one, median in enumerate(found.tolist()):
        own, weight = values[label == one], weights[label == one]
        half = 0.5 * weight.sum() * (1 + 1e-6)
        assert weight[own < median].sum() <= half
        assert weight[own > median].sum() <= half
        if not len(own):
            assert median == 0.0


def test_a_floor_adds_its_square_to_each_covariance() -> None:
    wanted = np.linalg.inv(np.linalg.inv(INFORMATION) + 0.3**2 * np.eye(2))
    assert np.allclose(with_floor(INFORMATION, 0.3), wanted)
    assert np.array_equal(with_floor(np.zeros((1, 2, 2)), 0.3), np.zeros((1, 2, 2)))
