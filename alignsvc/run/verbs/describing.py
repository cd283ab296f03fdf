"""What the functions of the package return, in the sentences that the command line prints."""

from __future__ import annotations

from typing import TypeAlias

from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.result import RunResult
from alignsvc.run.report.summary import ended_lines, plan_lines
from alignsvc.run.status.explaining import Explanation
from alignsvc.run.status.run_status import RunStatus

Describable: TypeAlias = Plan | RunResult | RunStatus | Explanation


def describe(found: Describable) -> str:
    """Return what was found in sentences, a line each.

    Parameters
    ----------
    found : Plan, RunResult, RunStatus or Explanation
        What `alignsvc.check`, `align`, `resume` and `retry`, `status`, `explain` return.
    """
    match found:
        case Plan():
            lines = plan_lines(found)
        case RunResult():
            lines = ended_lines(found)
        case RunStatus() | Explanation():
            lines = found.lines()
    return "\n".join(lines)
