"""A sparse system of blocks with constraints: the answers of dense algebra, in little memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from alignsvc.numerics.solve import block_matrix
from alignsvc.numerics.solve.block_matrix import BlockMatrix, BorderedBlocks
from alignsvc.numerics.solve.dissection import dissected


def springs(places: np.ndarray, reach: float, block: int, seed: int) -> BlockMatrix:
    """Exposures tied to all within reach: only what all do together costs nothing."""
    random, n = np.random.default_rng(seed), len(places)
    apart = np.abs(places[:, None] - places).max(axis=2)
    first, second = np.nonzero(np.triu(apart <= reach))
    values = np.zeros((len(first), block, block))
    diagonal = np.flatnonzero(first == second)
    for k in np.flatnonzero(first != second):
        root = random.normal(size=(block, block))
        stiffness = root @ root.T + 0.1 * np.eye(block)
        values[k] = -stiffness
        values[diagonal[first[k]]] += stiffness
        values[diagonal[second[k]]] += stiffness
    return BlockMatrix(first, second, values, n)


def means(label: np.ndarray, block: int) -> csr_matrix:
    """Each group's mean, a constraint for each unknown of a block."""
    groups = (label == np.unique(label)[:, None]) / np.sqrt(len(label))
    return csr_matrix(np.kron(groups, np.eye(block)))


def by_dense_algebra(system: BorderedBlocks, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix, border = system.matrix, system.border.toarray()
    zero = np.zeros((len(border), len(border)))
    inverse = np.linalg.inv(np.block([[matrix.toarray(), border.T], [border, zero]]))
    unknowns = matrix.n * matrix.block
    blocks = inverse[:unknowns, :unknowns].reshape(matrix.n, matrix.block, matrix.n, matrix.block)
    each = np.arange(matrix.n)
    return (inverse @ right)[:unknowns], blocks[each, :, each, :]


@given(
    n=st.integers(1, 60),
    reach=st.sampled_from([0.15, 0.3, 2.0]),
    block=st.sampled_from([1, 3]),
    made_again=st.sampled_from([0, 15, 1000]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_any_exposures_anywhere(n, reach, block, made_again, seed):
    random = np.random.default_rng(seed)
    places = random.uniform(0, 1, (n, 2))
    matrix = springs(places, reach, block, seed)
    # Groups that nothing ties together are held one by one.
    apart = np.abs(places[:, None] - places).max(axis=2)
    label = connected_components(csr_matrix(apart <= reach), directed=False)[1]
    system = BorderedBlocks(matrix, means(label, block), places)
    right = random.normal(size=(n * block + system.border.shape[0], 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_matrix, "_MADE_AGAIN", made_again)
        found = system.solve(right[: n * block], right[n * block :])
        inverse = system.diagonal_of_inverse()
    solution, blocks = by_dense_algebra(system, right)
    scale = np.abs(blocks).max()
    np.testing.assert_allclose(found, solution, atol=1e-9 * max(scale, 1.0) * np.abs(right).max())
    np.testing.assert_allclose(inverse, blocks, atol=1e-9 * scale)


def test_without_constraints_the_matrix_alone_is_solved():
    places = np.random.default_rng(1).uniform(0, 1, (30, 2))
    matrix = springs(places, 0.4, 2, 1)
    matrix.values[matrix.first == matrix.second] += np.eye(2)
    system = BorderedBlocks(matrix, csr_matrix((0, 60)), places)
    right = np.ones((60, 1))
    found = system.solve(right, np.zeros((0, 1)))
    np.testing.assert_allclose(matrix.toarray() @ found, right, atol=1e-10)


def test_what_nothing_holds_has_a_huge_error_and_harms_nobody():
    places = np.random.default_rng(2).uniform(0, 1, (40, 2))
    matrix = springs(places, 0.3, 2, 2)
    free = 7
    touching = (matrix.first == free) | (matrix.second == free)
    diagonal = matrix.first == matrix.second
    for k in np.flatnonzero(touching & ~diagonal):
        other = matrix.first[k] if matrix.second[k] == free else matrix.second[k]
        matrix.values[diagonal & (matrix.first == other)] += matrix.values[k]
    matrix.values[touching] = 0.0
    matrix.values[diagonal] += 1e-15 * np.eye(2)
    others = np.where(np.arange(40) == free, 0.0, 1.0)
    border = csr_matrix(np.kron(others, np.eye(2)) / 6.0)
    blocks = BorderedBlocks(matrix, border, places).diagonal_of_inverse()
    assert np.trace(blocks[free]) > 1e12
    assert np.delete(blocks, free, axis=0).max() < 1e3


def test_cuts_part_a_field_into_halves_that_share_nothing():
    places = np.stack(np.mgrid[0:20, 0:20], axis=-1).reshape(-1, 2).astype(float)
    matrix = springs(places, 1.0, 1, 0)
    root = dissected(matrix.entries.links, np.arange(400), places)
    assert sorted(np.concatenate([one.pivots for one in root.all()]).tolist()) == list(range(400))
    assert len(root.pivots) == 20  # a row of the field
    for part, other in [root.parts, root.parts[::-1]]:
        inside = np.concatenate([one.pivots for one in part.all()])
        outside = np.concatenate([one.pivots for one in other.all()])
        assert np.abs(places[inside][:, None] - places[outside]).max(axis=2).min() > 1.0
        assert set(part.boundary.tolist()) <= set(root.pivots.tolist())
