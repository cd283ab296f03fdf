"""What workers are copied from begins before a run is planned, unless that has ended."""

from __future__ import annotations

import pytest
from workplaces import Command, Workplace

from alignsvc.engine.clusters import local


def test_nothing_begins_for_a_run_that_has_ended(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(local, "begin_server", lambda: bool(begun.append("begun")))
    monkeypatch.setattr("alignsvc.cli.beginning.begin_server", lambda: begun.append("begun"))
    assert command("run", work.config()).code == 0
    again = work.config({"cluster.backend": "local"})
    assert command("run", again).code == 0
    assert command("resume", str(work.run)).code == 0
    assert begun == []
