"""From matches of pairs to one place for every exposure: where the fine loop is to begin.

Each exposure k has a similarity T_k from where its header puts things to where they are. A match
S of exposures i and j says ``T_i = T_j S``. A tree of the strongest matches gives first values,
least squares over all matches the final ones, with matches that contradict the rest weighed down
(Cauchy); what is common to all is taken off by medians, so that one exposure that is far off does
not move the others.
"""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.matching.similarity import UNMOVED, Similarity, on_circle

#: Matches that differ from the joint answer by less, at the edge of the field, agree with it, px.
_AGREES_PX = 3.0
_N_REWEIGHTED = 8
#: Weight of "stay where you are", beside weights of one and more for each match.
_HOLD = 1e-9


class Standing(Enum):
    """What is known of an exposure."""

    PLACED = auto()  #: it matches others, and they agree
    TIED = auto()  #: its block is elsewhere on the reference catalogue than headers say
    ALL_MIRRORED = auto()  #: its block is, and mirrored
    UNKNOWN = auto()  #: nothing speaks for or against its header
    MIRRORED = auto()  #: most others have the other parity
    PARITY_UNKNOWN = auto()  #: as many others have its parity as the other one
    CONTRADICTED = auto()  #: its matches contradict each other
    STRANGER = auto()  #: it should have matched others, and did not


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where the header puts an exposure's middle, ``x + i y`` in px, and half its diagonal."""

    middle: complex
    extent: float


@dataclass(frozen=True, slots=True)
class Link:
    """Two exposures that match: `transform` carries the first's places to the second's."""

    first: int
    second: int
    transform: Similarity
    n_matched: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """What came of the pairs that were compared.

    Parameters
    ----------
    links : tuple of Link
    refused : tuple of (int, int)
        Pairs that should have matched, by their headers and their sources, and did not.
    """

    links: tuple[Link, ...]
    refused: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an exposure stands.

    Parameters
    ----------
    standing : Standing
    transform : Similarity
        From header to common places (upright).
    block : int
        Number of the set of exposures that matches hold together, in which places are common.
    """

    standing: Standing
    transform: Similarity = UNMOVED
    block: int = 0


def place_exposures(
    fields: Sequence[FieldPlace], pairs: Pairs, reference: int | None = None
) -> tuple[Placed, ...]:
    """Return where each exposure of a set stands.

    Parameters
    ----------
    fields : sequence of FieldPlace
    pairs : Pairs
    reference : int or None
        The exposure whose header is right; None = most are, by medians.
    """
    placed = [Placed(Standing.UNKNOWN)] * len(fields)
    blocks = _blocks(len(fields), pairs.links)
    for number, block in enumerate(blocks):
        for k in block:
            placed[k] = replace(placed[k], block=number)
        if len(block) > 1:
            links = [link for link in pairs.links if link.first in block]
            for k, known in _block_placed(fields, block, links, reference).items():
                placed[k] = replace(known, block=number)
    main = _main_block(blocks, reference)
    for first, second in pairs.refused:
        for one, other in ((first, second), (second, first)):
            # Without a main block, nobody is better than the other.
            if one not in main and (other in main or not main):
                placed[one] = replace(placed[one], standing=Standing.STRANGER, transform=UNMOVED)
    return tuple(placed)


def _main_block(blocks: Sequence[tuple[int, ...]], reference: int | None) -> tuple[int, ...]:
    """Return the block that all others are compared with; empty if every exposure is alone."""
    for block in blocks:
        if reference in block:
            return block
    largest = max(blocks, key=len, default=())
    return largest if len(largest) > 1 else ()


def _blocks(n: int, links: Sequence[Link]) -> list[tuple[int, ...]]:
    """Return the sets of exposures that matches hold together, by their first members."""
    of = list(range(n))

    def root(k: int) -> int:
        while of[k] != k:
            k = of[k]
        return k

    for link in links:
        a, b = sorted((root(link.first), root(link.second)))
        of[b] = a
    roots = [root(k) for k in range(n)]
    return [tuple(k for k in range(n) if roots[k] == r) for r in sorted(set(roots))]


def _block_placed(
    fields: Sequence[FieldPlace],
    block: Sequence[int],
    links: Sequence[Link],
    reference: int | None,
) -> dict[int, Placed]:
    tree = _by_tree(block, links)
    mirrored = {k for k in block if tree[k].is_mirrored}
    upright = set(block) - mirrored
    if reference in block:
        majority = mirrored if reference in mirrored else upright
    elif len(mirrored) == len(upright):
        return {k: Placed(Standing.PARITY_UNKNOWN) for k in block}
    else:
        majority = max(mirrored, upright, key=len)
    found = {k: Placed(Standing.MIRRORED) for k in block if k not in majority}
    members = sorted(majority)
    own = [link for link in links if link.first in majority and link.second in majority]
    root = reference if reference in majority and reference is not None else members[0]
    back = tree[root].inverse()
    solved = _by_least_squares(fields, {k: back.after(tree[k]) for k in members}, own, root)
    contradicted = _contradicted(fields, solved, own)
    good = [k for k in members if k not in contradicted]
    frame = UNMOVED if root == reference else _common(fields, {k: solved[k] for k in good})
    for k in members:
        standing = Standing.CONTRADICTED if k in contradicted else Standing.PLACED
        found[k] = Placed(standing, frame.after(solved[k]))
    return found


def _by_tree(block: Sequence[int], links: Sequence[Link]) -> dict[int, Similarity]:
    """Return maps that agree with the strongest matches, the first exposure unmoved."""
    placed = {block[0]: UNMOVED}
    ranked = sorted(links, key=lambda link: (-link.n_matched, link.first, link.second))
    while len(placed) < len(block):  # Prim's tree
        for link in ranked:
            if (link.first in placed) != (link.second in placed):
                if link.second in placed:
                    placed[link.first] = placed[link.second].after(link.transform)
                else:
                    placed[link.second] = placed[link.first].after(link.transform.inverse())
                break
    return placed


def _by_least_squares(
    fields: Sequence[FieldPlace],
    start: dict[int, Similarity],
    links: Sequence[Link],
    root: int,
) -> dict[int, Similarity]:
    """Return maps that agree best with all matches; `root` keeps its own.

    For a match S, ``a_i z + b_i = a_j S(z) + b_j`` at three points z is linear in the (complex)
    factors and shifts.
    """
    solved = start
    if len(start) < 2:
        return solved
    for _ in range(_N_REWEIGHTED):
        weights = [
            link.n_matched / (1.0 + (_residual(fields, solved, link) / _AGREES_PX) ** 2)
            for link in links
        ]
        solved = _weighted(fields, solved, list(zip(links, weights, strict=True)), root)
    return solved


def _weighted(
    fields: Sequence[FieldPlace],
    start: dict[int, Similarity],
    links: Sequence[tuple[Link, float]],
    root: int,
) -> dict[int, Similarity]:
    """Return the least-squares change of `start`, in units of each field's size."""
    column = {k: 2 * n for n, k in enumerate(k for k in sorted(start) if k != root)}
    rows, columns, values = list[int](), list[int](), list[complex]()
    right: list[complex] = []
    for link, weight in links:
        z = on_circle(fields[link.first].middle, fields[link.first].extent)
        ends = {link.first: z, link.second: link.transform.moved(z)}
        here, there = (start[k].moved(points) for k, points in ends.items())
        for n in range(len(z)):
            for sign, k in ((1.0, link.first), (-1.0, link.second)):
                if k != root:
                    lever = (ends[k][n] - fields[k].middle) / fields[k].extent
                    rows += [len(right)] * 2
                    columns += [column[k], column[k] + 1]
                    values += [sign * weight**0.5 * lever, sign * weight**0.5]
            right.append(weight**0.5 * complex(there[n] - here[n]))
    design = sparse.csc_matrix((values, (rows, columns)), (len(right), 2 * len(column)))
    adjoint = design.conj().T.tocsc()
    # Exposures that hang together by a mirrored one alone are held by no match: they stay.
    held = sparse.identity(design.shape[1], dtype=complex, format="csc") * _HOLD
    step: NDArray[np.complex128] = np.atleast_1d(
        spsolve((adjoint @ design + held).tocsc(), adjoint @ np.array(right))
    )
    moved = dict(start)
    for k, n in column.items():
        turn = complex(step[n]) / fields[k].extent
        factor = start[k].factor + turn
        shift = start[k].shift + complex(step[n + 1]) - turn * fields[k].middle
        moved[k] = Similarity(factor, shift)
    return moved


def _residual(fields: Sequence[FieldPlace], solved: dict[int, Similarity], link: Link) -> float:
    """Return by how much a match differs from the joint answer at worst, px."""
    z = on_circle(fields[link.first].middle, fields[link.first].extent)
    first, second = solved[link.first], solved[link.second]
    return float(np.abs(first.moved(z) - second.moved(link.transform.moved(z))).max())


def _contradicted(
    fields: Sequence[FieldPlace], solved: dict[int, Similarity], links: Sequence[Link]
) -> set[int]:
    """Return the exposures of whose matched sources as many speak against as for their place."""
    votes = dict.fromkeys(solved, 0)
    for link in links:
        agrees = _residual(fields, solved, link) <= _AGREES_PX
        for k in (link.first, link.second):
            votes[k] += link.n_matched if agrees else -link.n_matched
    return {k for k, vote in votes.items() if vote <= 0 and len(solved) > 1}


def _common(fields: Sequence[FieldPlace], solved: dict[int, Similarity]) -> Similarity:
    """Return the map after which the median exposure is where its header has it.

    The angle is the one that is least far from all others, as angles have no median.
    """
    if not solved:
        return UNMOVED
    names = sorted(solved)
    angles = np.array([cmath.phase(solved[k].factor) for k in names])
    apart = np.abs(np.angle(np.exp(1j * (angles[:, None] - angles[None, :])))).sum(axis=1)
    scale = float(np.median([abs(solved[k].factor) for k in names]))
    turned = Similarity(cmath.exp(-1j * float(angles[np.argmin(apart)])) / scale, 0j)
    middles = np.array([fields[k].middle for k in names])
    there = np.array(
        [turned.after(solved[k]).moved(m) for k, m in zip(names, middles, strict=True)]
    )
    away: FloatArray = np.stack([(there - middles).real, (there - middles).imag])
    east, north = np.median(away, axis=1)
    return Similarity(turned.factor, -complex(east, north))
