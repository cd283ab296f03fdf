"""Which sources a pass measures, and how: what all of a component say, for tasks that see few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.sources.selection import HoldOut
from alignsvc.run.stages.cataloguing import SourceTables, chosen_sources
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.measure import SourceChoice
from alignsvc.tasks.sources_at_hand import all_kinds


@dataclass(frozen=True, slots=True)
class MeasuredSources:
    """What the tasks of a component measure.

    Parameters
    ----------
    choice : SourceChoice
    measurement : CorrelationMeasurement
        Told by all sources of the component.
    """

    choice: SourceChoice
    measurement: CorrelationMeasurement


def measured_sources(
    tools: Tools, tables: SourceTables, measurement: CorrelationMeasurement
) -> Mapping[int, MeasuredSources]:
    """Return what is measured of each component, by its number.

    Parameters
    ----------
    tools : Tools
    tables : SourceTables
    measurement : CorrelationMeasurement
        Of the pass.
    """
    alignment = tools.plan.config.alignment
    sources = chosen_sources(tools, tables)
    kinds = None if tables.kinds is None else all_kinds(tools.run, tables.kinds)
    found = {}
    for grid in tools.plan.grids:
        own = sources.select(sources.component == grid.component)
        rule = HoldOut.among(own.snr, alignment.hold_out)
        choice = SourceChoice(tables.chosen, rule, alignment.use_segmentation, tables.kinds)
        found[grid.component] = MeasuredSources(choice, measurement.told_by(own, kinds))
    return found
