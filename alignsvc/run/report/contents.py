"""All that the report of a run says: what the page shows and what ``report.json`` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alignsvc.run.records.result import RunResult
from alignsvc.run.report.needs import DiskNeeds, StageNeeds, needs_json
from alignsvc.run.report.performance import Performance
from alignsvc.run.report.provenance import Provenance
from alignsvc.run.report.pulls import Pulls
from alignsvc.run.report.residual_statistics import ResidualStatistics, residual_statistics
from alignsvc.run.report.summary import result_json


@dataclass(frozen=True, slots=True, eq=False)
class ReportContents:
    """The result of a run, and what is known besides; what is None or empty is not shown.

    Parameters
    ----------
    result : RunResult
    extends : mapping or None
        Which run it extends, as JSON values.
    needs : tuple of StageNeeds
    disk : DiskNeeds or None
    performance : Performance or None
    provenance : Provenance or None
    pulls : Pulls or None
    picture : mapping or None
        What the drawings show, as `reported_picture` returns it.
    details : mapping of exposure id to mapping
        As `worst_details` returns them.
    tables : tuple of str
        Names of tables and pictures in the run's directory that hold what `picture` shows.
    missing : tuple of str
        What could not be shown, and why.

    Attributes
    ----------
    residuals : ResidualStatistics
        Of the corrections in `result`.
    """

    result: RunResult
    extends: Any = None
    needs: tuple[StageNeeds, ...] = ()
    disk: DiskNeeds | None = None
    performance: Performance | None = None
    provenance: Provenance | None = None
    pulls: Pulls | None = None
    picture: Any = None
    details: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    residuals: ResidualStatistics = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "residuals", residual_statistics(self.result.corrections))

    @property
    def eps_shift_px(self) -> float | None:
        """Below which movement the loop ends; None if nobody knows."""
        if self.provenance is None:
            return None
        return float(self.provenance.configuration["alignment"]["eps_shift"])

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values: what ``report.json`` holds."""
        made_of = self.provenance
        return {
            "version": None if made_of is None else made_of.versions["alignsvc"],
            "identity": None if made_of is None else made_of.identity,
            "extends": self.extends,
            **result_json(self.result),
            "eps_shift_px": self.eps_shift_px,
            "residuals": self.residuals.as_json(),
            "pulls": None if self.pulls is None else self.pulls.as_json(),
            "needs": needs_json(self.needs),
            **({} if self.disk is None else {"disk": self.disk.as_json()}),
            "performance": None if self.performance is None else self.performance.as_json(),
            "inputs": None if made_of is None else made_of.inputs.as_json(),
            "configuration": None if made_of is None else dict(made_of.configuration),
            "provenance": None if made_of is None else made_of.as_json(),
            "seen_from_near": list(self.details),
            "tables": list(self.tables),
            "missing": list(self.missing),
        }
