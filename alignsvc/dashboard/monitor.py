"""A run in a notebook, live as long as it goes on."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import anywidget
import traitlets

from alignsvc.errors import AlignError, TransientError
from alignsvc.io.places import Place
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.records.stored import stored_config
from alignsvc.run.seeing.detail_json import detail_json
from alignsvc.run.seeing.parts import PARTS, ShownParts
from alignsvc.run.seeing.picture import RunPicture, RunViewer
from alignsvc.run.verbs.cancelling import cancel_run
from alignsvc.run.verbs.submitting import submit
from alignsvc.views import style, widget_script

#: So long after a button a run is looked at that does not go on yet: its driver has to begin.
_PATIENCE_S = 120.0


class RunMonitor(anywidget.AnyWidget):
    """A widget that shows a run, and asks it to stop or go on.

    It reads the run's store, so that it shows runs that are driven elsewhere, are dead or have
    ended, just as well. While the run goes on it looks again by itself, in a thread of its own: a
    slow store does not stop the notebook.

    Parameters
    ----------
    run : Place
        The run's directory, on a disk or in a bucket.
    interval_s : float
        Between two looks.

    Raises
    ------
    RunStoreError
        There is no run. Of one that cannot be read, of another format say, the widget says why.
    """

    _esm = widget_script([part.name for part in PARTS])
    _css = style()
    moment = traitlets.Dict().tag(sync=True)
    exposures = traitlets.Dict().tag(sync=True)
    passes = traitlets.Dict().tag(sync=True)
    mosaic = traitlets.Dict().tag(sync=True)
    tasks = traitlets.Dict().tag(sync=True)
    workers = traitlets.Dict().tag(sync=True)

    def __init__(self, run: Place, interval_s: float = 2.0) -> None:
        super().__init__()
        self._viewer = RunViewer(run)
        self._interval_s = interval_s
        self._looking: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._patient_until_s = 0.0
        self._shown = ShownParts()
        self.on_msg(self._on_message)
        self.refresh()
        self._go_on_looking()

    def refresh(self) -> None:
        """Look at the run now."""
        try:
            self._show(self._viewer.look())
        except AlignError as error:
            self._tell(error)

    def _tell(self, error: AlignError) -> None:
        """Say what hinders looking, above what was seen before."""
        self.moment = {**self.moment, "trouble": str(error)}

    def _show(self, picture: RunPicture) -> None:
        with self.hold_sync():  # what was sent belongs together
            for part in self._shown.news(picture):
                self.set_trait(part.name, part.made(picture))

    def _go_on_looking(self) -> None:
        """Look again and again while the run goes on, where there is a loop to do so in."""
        with suppress(RuntimeError):  # a script: nobody is there to see it
            loop = asyncio.get_running_loop()
            if self._looking is None or self._looking.done():
                self._looking = loop.create_task(self._look_while_going())

    async def _look_while_going(self) -> None:
        while True:
            try:
                picture = await asyncio.to_thread(self._viewer.look)
            except TransientError as error:  # a store that will answer again
                self._tell(error)
                await asyncio.sleep(self._interval_s)
                continue
            except AlignError as error:
                self._tell(error)
                return
            self._show(picture)
            is_over = picture.status.state.is_finished or time.monotonic() > self._patient_until_s
            if not picture.status.standing.is_going and is_over:
                return
            await asyncio.sleep(self._interval_s)

    def _on_message(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        asked = str(content.get("ask"))
        answer = self._detail(content) if asked == "exposure" else self._answer(asked)
        task = asyncio.get_running_loop().create_task(answer)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _detail(self, asked: dict[str, Any]) -> None:
        """Send what the run keeps of an exposure, or why it cannot be had."""
        name, number = str(asked.get("id")), asked.get("number")
        answer: dict[str, Any] = {"answer": number, "detail": None}
        try:
            answer["detail"] = await asyncio.to_thread(self._detail_json, name)
        except (AlignError, OSError) as error:
            answer["trouble"] = str(error)
        self.send(answer)

    def _detail_json(self, exposure_id: str) -> dict[str, Any] | None:
        found = self._viewer.detail(exposure_id)
        return None if found is None else detail_json(found)

    async def _answer(self, asked: str) -> None:
        """Do what a button asks for, and tell what came of it."""
        try:
            match asked:
                case "cancel":
                    text = (await asyncio.to_thread(cancel_run, self._viewer.run)).line()
                case "resume":
                    config = stored_config(self._viewer.run)
                    text = (await asyncio.to_thread(submit, config, RunOptions())).line()
                case _:
                    return
        except AlignError as error:
            text = str(error)
        self.send({"text": text})
        self._patient_until_s = time.monotonic() + _PATIENCE_S
        self._go_on_looking()
