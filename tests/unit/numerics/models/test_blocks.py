"""Normal equations in blocks: they add up, and elimination changes no answer."""

import pickle
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.numerics.models.blocks import Freedom, NormalBlocks, ReducedBlocks
from alignsvc.numerics.models.groups import GroupLayout, whiteners

SIZES = [0, 2, 2, 2, 4]


@dataclass(frozen=True)
class Dense:
    """A small problem of the arrow's shape, written out."""

    design: FloatArray
    data: FloatArray
    group_of_row: FloatArray
    layout: GroupLayout
    r: int

    def blocks(self, rows: BoolArray) -> NormalBlocks:
        """Return the normal equations of some rows."""
        design, n = self.design[rows], self.layout.n_unknowns
        matrix, gradient = design.T @ design, design.T @ self.data[rows]
        parts = [np.zeros(0)]
        for start, size in zip(self.layout.start, self.layout.size, strict=True):
            parts.append(matrix[start : start + size, start : start + size].ravel())
        return NormalBlocks(
            self.layout,
            np.concatenate(parts),
            gradient[:n],
            csr_matrix(matrix[:n, n:]),
            matrix[n:, n:],
            gradient[n:],
        )

    @property
    def free(self) -> Freedom:
        none, r = np.zeros(self.layout.n_unknowns, bool), np.zeros(self.r, bool)
        return Freedom(none, r, none, r)


def dense(seed: int, rows: int = 60, r: int = 3) -> Dense:
    rng = np.random.default_rng(seed)
    layout = GroupLayout(np.array(SIZES))
    group = np.arange(rows) % len(SIZES)
    design = np.zeros((rows, layout.n_unknowns + r))
    for k, g in enumerate(group):
        start, size = layout.start[g], layout.size[g]
        design[k, start : start + size] = rng.normal(size=size)
    design[:, layout.n_unknowns :] = rng.normal(size=(rows, r))
    return Dense(design, rng.normal(size=rows), group, layout, r)


EVERY = np.ones(60, bool)


@given(seed=st.integers(0, 10_000), damping=st.sampled_from([0.0, 1e-3, 10.0]))
def test_eliminated_equations_have_the_solution_of_the_whole_ones(
    seed: int, damping: float
) -> None:
    problem = dense(seed)
    eliminated = problem.blocks(EVERY).eliminated(damping, problem.free)
    solution = eliminated.reduced.solve()
    assert solution is not None
    step = eliminated.step(solution)
    matrix = problem.design.T @ problem.design
    gradient = problem.design.T @ problem.data
    whole = np.linalg.solve(matrix + damping * np.diag(np.diagonal(matrix)), gradient)
    found = np.concatenate([step.group, step.reduced])
    np.testing.assert_allclose(found, whole, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(eliminated.slope(step), gradient @ whole, rtol=1e-7)
    np.testing.assert_allclose(eliminated.bending(step), whole @ matrix @ whole, rtol=1e-7)


@given(seed=st.integers(0, 10_000), split=st.lists(st.integers(0, 3), min_size=60, max_size=60))
def test_blocks_of_any_parts_of_the_windows_add_up_to_those_of_all(
    seed: int, split: list[int]
) -> None:
    problem, part = dense(seed), np.array(split)
    whole = problem.blocks(EVERY)
    sums = problem.blocks(part == 0) + problem.blocks(part == 1)
    other = problem.blocks(part == 2) + problem.blocks(part == 3)
    both = sums + other
    np.testing.assert_allclose(both.group_matrix, whole.group_matrix, atol=1e-10)
    np.testing.assert_allclose(both.coupling.toarray(), whole.coupling.toarray(), atol=1e-10)
    np.testing.assert_allclose(both.matrix, whole.matrix, atol=1e-10)
    np.testing.assert_allclose(both.gradient, whole.gradient, atol=1e-10)


@given(seed=st.integers(0, 10_000), damping=st.sampled_from([0.0, 0.1]))
def test_reduced_blocks_of_groups_add_up_in_any_grouping(seed: int, damping: float) -> None:
    problem = dense(seed)
    whole = problem.blocks(EVERY).eliminated(damping, problem.free).reduced
    parts = [
        problem.blocks(problem.group_of_row == g).eliminated(damping, problem.free).reduced
        for g in range(len(SIZES))
    ]
    for order in (parts, parts[::-1], [parts[0] + parts[3], parts[1], parts[4] + parts[2]]):
        total = ReducedBlocks.total(pickle.loads(pickle.dumps(order)))  # noqa: S301
        np.testing.assert_allclose(total.matrix, whole.matrix, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(total.gradient, whole.gradient, rtol=1e-9, atol=1e-9)
    same = ReducedBlocks.total(parts)
    assert np.array_equal(same.matrix, ReducedBlocks.total(parts).matrix)


def test_covariances_are_those_of_the_whole_equations() -> None:
    problem = dense(5)
    eliminated = problem.blocks(EVERY).eliminated(0.0, problem.free)
    inverse = eliminated.reduced.inverse()
    assert inverse is not None
    n = problem.layout.n_unknowns
    whole = np.linalg.inv(problem.design.T @ problem.design)
    np.testing.assert_allclose(inverse, whole[n:, n:], rtol=1e-8)
    two, four = eliminated.group_covariances(inverse)
    np.testing.assert_allclose(two[1], whole[2:4, 2:4], rtol=1e-8)
    np.testing.assert_allclose(four[0], whole[6:10, 6:10], rtol=1e-8)


def test_what_is_held_stays_and_the_rest_is_solved_without_it() -> None:
    problem = dense(6)
    held, reduced = np.zeros(problem.layout.n_unknowns, bool), np.array([False, True, False])
    held[[3, 8]] = True
    freedom = Freedom(held, reduced, held & False, reduced & False)
    eliminated = problem.blocks(EVERY).eliminated(0.0, freedom)
    solution = eliminated.reduced.solve()
    assert solution is not None
    step = eliminated.step(solution)
    kept = ~np.concatenate([held, reduced])
    whole = np.linalg.lstsq(problem.design[:, kept], problem.data, rcond=None)[0]
    found = np.concatenate([step.group, step.reduced])
    np.testing.assert_allclose(found[kept], whole, rtol=1e-7, atol=1e-9)
    assert np.array_equal(found[~kept], [0, 0, 0])


def test_an_unknown_that_no_row_tells_of_gets_no_step_and_spoils_no_other() -> None:
    problem = dense(7)
    design = problem.design.copy()
    design[:, 1] = 2 * design[:, 0]
    design[:, 4:6] = 0
    same = Dense(design, problem.data, problem.group_of_row, problem.layout, problem.r)
    eliminated = same.blocks(EVERY).eliminated(0.0, same.free)
    solution = eliminated.reduced.solve()
    assert solution is not None
    step = eliminated.step(solution)
    assert np.isfinite(step.group).all()
    assert step.group[1] == step.group[4] == step.group[5] == 0
    best = np.linalg.lstsq(design, problem.data, rcond=None)[0]
    np.testing.assert_allclose(solution, best[-3:], rtol=1e-7)
    inverse = eliminated.reduced.inverse()
    assert inverse is not None
    assert np.isinf(eliminated.group_covariances(inverse)[0][0, 1, 1])


def test_a_reduced_system_without_an_answer_says_which_unknowns_lack_one() -> None:
    problem = dense(8)
    design = problem.design.copy()
    design[:, -1] = design[:, -3]
    same = Dense(design, problem.data, problem.group_of_row, problem.layout, problem.r)
    reduced = same.blocks(EVERY).eliminated(0.0, same.free).reduced
    assert reduced.solve() is None
    assert reduced.undetermined().tolist() == [True, False, True]
    assert same.blocks(EVERY).eliminated(0.01, same.free).reduced.solve() is not None


@given(seed=st.integers(0, 10_000), size=st.integers(1, 6))
def test_a_whitener_squared_is_the_inverse(seed: int, size: int) -> None:
    columns = np.random.default_rng(seed).normal(size=(3, size, 2 * size + 3))
    columns *= 10.0 ** np.random.default_rng(seed).uniform(-6, 6, (3, size, 1))
    matrices = columns @ columns.swapaxes(1, 2)
    white = whiteners(matrices)
    np.testing.assert_allclose(
        white @ matrices @ white.swapaxes(1, 2),
        np.broadcast_to(np.eye(size), (3, size, size)),
        atol=1e-8,
    )


def test_an_unknown_that_those_before_it_explain_is_held() -> None:
    columns = np.random.default_rng(2).normal(size=(50, 3, 9))
    columns[:, 1] = columns[:, 0] / 3
    white = whiteners(columns @ columns.swapaxes(1, 2))
    assert not white[:, 1].any()
    assert not white[:, :, 1].any()
    np.testing.assert_allclose(
        white[:, ::2, ::2], whiteners(columns[:, ::2] @ columns[:, ::2].swapaxes(1, 2)), rtol=1e-9
    )
