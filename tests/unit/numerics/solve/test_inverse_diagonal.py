"""The diagonal of an inverse that is never made, against the inverse itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import block_diag, csc_matrix, diags

from alignsvc.numerics.solve.inverse_diagonal import diagonal_of_inverse


def raster(side: int, seed: int) -> csc_matrix:
    """A matrix of a square of unknowns, each linked with its eight neighbours."""
    random = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(side * side), side)
    near = np.maximum(abs(row[:, None] - row), abs(column[:, None] - column)) == 1
    links = np.triu(np.where(near, random.uniform(0.1, 1.0, near.shape), 0.0))
    links = links + links.T
    return csc_matrix(np.diag(links.sum(axis=1) + 0.01) - links)


@pytest.mark.parametrize("side", [1, 2, 3, 12])
def test_it_is_the_diagonal_of_the_inverse(side: int) -> None:
    matrix = raster(side, seed=side)
    wanted = np.diag(np.linalg.inv(matrix.toarray()))
    assert np.allclose(diagonal_of_inverse(matrix), wanted, rtol=1e-9)


def test_unknowns_that_nothing_links_do_not_disturb_one_another() -> None:
    parts = [raster(5, seed=1), diags([4.0]), raster(4, seed=2)]
    random = np.random.default_rng(0).permutation(25 + 1 + 16)
    matrix = csc_matrix(block_diag(parts))[random][:, random]
    wanted = np.diag(np.linalg.inv(matrix.toarray()))
    assert np.allclose(diagonal_of_inverse(csc_matrix(matrix)), wanted, rtol=1e-9)
