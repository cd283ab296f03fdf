"""A mosaic that was published once, made again with all that it was made of.

What the journal tells of a generation leads to it: its table of corrections gives the
contributions, these the tiles, bit for bit, since no task has changed. Receipts say what of all
that is whole, so that only what is missing or damaged costs work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from alignsvc.domain.grid import TileId
from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.errors import RunStoreError
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import content_is_whole
from alignsvc.run.records import events
from alignsvc.run.records.published import Publication, publications
from alignsvc.run.stages.loop_state import KnownRays, LoopState
from alignsvc.run.stages.mosaicking import (
    Mosaic,
    load_mosaic,
    merge_tasks_again,
    resample_task,
    view_of,
)
from alignsvc.run.stages.rejecting import reject_tasks
from alignsvc.run.stages.running import Tools, run_required
from alignsvc.run.stages.solved_table import load_solved
from alignsvc.tasks.resample import ResampleTask


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What a run's loop has gone through, and a way back to it.

    Parameters
    ----------
    tools : Tools
    published : mapping of generation to Publication
    """

    tools: Tools
    published: Mapping[int, Publication]

    @classmethod
    def of(cls, tools: Tools) -> Past:
        """Return the past that the journal tells of."""
        return cls(tools, publications(tools.journal.events()))

    def publication(self, generation: int) -> Publication:
        """Return how a generation came about; RunStoreError if the journal does not tell."""
        if generation not in self.published:
            raise RunStoreError(
                f"journal: it does not tell how generation {generation} of the mosaic was made; "
                "start a new run"
            )
        return self.published[generation]

    def state_at(self, one: Publication) -> LoopState:
        """Return the state that a mosaic was made by."""
        plan = self.tools.plan
        state = LoopState.at_start(plan.exposures, plan.algorithms.geometry)
        if one.made_by is None:
            return state
        return load_solved(self.tools, state, one.made_by.table, one.made_by.digest)

    def required_mosaic(self, generation: int, tiles: Collection[TileId] | None = None) -> Mosaic:
        """Return a mosaic of the loop with its pixels in the store, whole.

        Contributions and tiles that are missing or damaged are made again, and cosmic rays that
        they were made without. It is not published: the current one stays that.

        Parameters
        ----------
        generation : int
        tiles : collection of TileId or None
            Those that are wanted; None = all.

        Raises
        ------
        RunStoreError
            What it was made of is not what it was, or only a driver wrote it.
        """
        one = self.publication(generation)
        then, state = load_mosaic(self.tools, generation), self.state_at(one)
        self.require_rays(state.rays)
        parts = {tile: some for tile, some in then.parts.items() if tiles is None or tile in tiles}
        in_them = {part.name for some in parts.values() for part in some}
        if tiles is None:
            in_them |= {stored.name for stored in then.contributions.values()}
        self.remade("resample", one.pass_number, self._resampling(one, state, in_them))
        merging = merge_tasks_again(self.tools, then, parts)
        outcomes = self.remade("merge", one.pass_number, merging)
        for task, outcome in zip(merging, outcomes, strict=True):
            if outcome.checksum != then.checksums[task.tile]:
                raise RunStoreError(
                    f"mosaic generation {generation}, tile {task.tile}: made again it has other "
                    "pixels than it had; start a new run"
                )
        return then

    def _resampling(
        self, one: Publication, state: LoopState, names: Collection[str]
    ) -> list[ResampleTask]:
        """Return what made the contributions of these names for a mosaic."""
        views = [view_of(self.tools, e, state.standing_of(e.id)) for e in self.tools.plan.exposures]
        tasks = [resample_task(self.tools, one.pass_number, view) for view in views]
        found = [task for task in tasks if task.key.digest in names]
        if {task.key.digest for task in found} != set(names):
            raise RunStoreError(
                f"mosaic generation {one.generation}, of pass {one.pass_number}, cannot be made "
                "again: its exposures are not what they were; start a new run"
            )
        return found

    def require_rays(self, rays: Mapping[str, KnownRays]) -> None:
        """Find the cosmic rays again whose tables are missing or damaged."""
        objects = RunLocations(self.tools.run).objects
        lost = {
            name: known
            for name, known in rays.items()
            if not content_is_whole(objects, known.table.name, known.table.checksum)
        }
        for number in sorted({known.pass_number for known in lost.values()}):
            self._search_again(
                number,
                {
                    name: one.table.checksum
                    for name, one in lost.items()
                    if one.pass_number == number
                },
            )

    def _search_again(self, pass_number: int, wanted: Mapping[str, str]) -> None:
        """Search exposures for cosmic rays as a pass did, and find what it found."""
        searched = (
            one
            for one in self.published.values()
            if one.is_searched and one.pass_number == pass_number
        )
        one = next(searched, None)
        if one is None:
            raise RunStoreError(
                f"the tables of cosmic rays of {', '.join(sorted(wanted))} are damaged, and were "
                "made by the run that this one extends; restore them, or start a new run"
            )
        state = replace(self.state_at(one), mosaic=self.required_mosaic(one.generation))
        exposures = [e for e in self.tools.plan.exposures if e.id in wanted]
        outcomes = self.remade("reject", pass_number, reject_tasks(self.tools, state, exposures))
        for exposure, outcome in zip(exposures, outcomes, strict=True):
            if outcome.checksum != wanted[exposure.id]:
                raise RunStoreError(
                    f"exposure {exposure.id}: sought again, its cosmic rays of pass {pass_number} "
                    "are others than they were; start a new run"
                )

    def remade(
        self, stage: str, pass_number: int, tasks: Sequence[Task]
    ) -> tuple[TaskOutcome, ...]:
        """Run tasks that were done once; those that receipts do not answer are told of."""
        outcomes = run_required(self.tools, stage, pass_number, tasks)
        anew = ", ".join(self.tools.reuse.anew)
        if anew:
            self.tools.listener(
                events.Note(f"{stage} was damaged or gone, and is done again, of: {anew}")
            )
        return outcomes
