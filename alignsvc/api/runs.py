"""Begin, hand in, stop and go on with runs."""

from __future__ import annotations

from pathlib import Path

from alignsvc.config.load import load_config
from alignsvc.config.schema import Config, RunSection
from alignsvc.errors import ConfigError
from alignsvc.io.places import Place, run_place
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records import events
from alignsvc.run.records.result import RunResult
from alignsvc.run.verbs import attaching
from alignsvc.run.verbs.cancelling import Cancellation, cancel_run
from alignsvc.run.verbs.checking import checked
from alignsvc.run.verbs.cleaning import Cleaning, clean_run
from alignsvc.run.verbs.retrying import retry_failed
from alignsvc.run.verbs.submitting import Rehearsal, Submission
from alignsvc.run.verbs.submitting import rehearse as rehearse_config
from alignsvc.run.verbs.submitting import submit as submit_config


def align(
    config: Config | Path | str,
    options: RunOptions | None = None,
    *,
    extend: Place | str | None = None,
    freeze: bool = False,
) -> RunResult:
    """Align the exposures that a configuration names.

    Parameters
    ----------
    config : Config, or path of a YAML file
    options : RunOptions or None
    extend : path, URL or None
        Where a finished run lies: its exposures join, and the loop begins with its corrections.
        It is only read.
    freeze : bool
        Whether its corrections stay as they are and hold the frame.

    Raises
    ------
    ConfigError, RunStoreError
        See `alignsvc.errors` for what to do about each.
    """
    options = options or RunOptions()
    whole = _extending(_loaded(config, options.overrides), extend, freeze=freeze)
    return attaching.begin(whole, options)


def check(
    config: Config | Path | str,
    overrides: tuple[str, ...] = (),
    *,
    extend: Place | str | None = None,
    freeze: bool = False,
    listener: events.Listener = events.silent,
) -> Plan:
    """Return what a run would do; nothing is written. Parameters as of `align`.

    The listener hears how far the reading of headers is.

    Raises
    ------
    ConfigError
        A mistake in the configuration, no usable exposure, or tasks that cannot fit into memory;
        or the directory holds another run, or something else.
    RunStoreError
        The directory cannot be used.
    """
    whole = _extending(_loaded(config, overrides), extend, freeze=freeze)
    return checked(whole, listener)


def submit(config: Config | Path | str, options: RunOptions | None = None) -> Submission:
    """Hand a run in and return at once: its driver goes on where it outlives this process.

    The same configuration again attaches to the run that there is, and gives it a driver if it
    has none. Parameters as of `align`; the number of workers is the configuration's.

    Raises
    ------
    ConfigError, RunStoreError, ResourceError
        As of `align`; or nothing takes the driver.
    """
    options = options or RunOptions()
    return submit_config(_loaded(config, options.overrides), options)


def rehearse(
    config: Config | Path | str,
    overrides: tuple[str, ...] = (),
    *,
    listener: events.Listener = events.silent,
) -> Rehearsal:
    """Return what `submit` would do, scripts of its jobs included; nothing is written.

    The listener hears how far the reading of headers is.

    Raises
    ------
    ConfigError, RunStoreError
        As of `check`.
    """
    return rehearse_config(_loaded(config, overrides), listener)


def resume(run: Place | str, options: RunOptions | None = None) -> RunResult:
    """Go on with a run that was stopped; a finished one is only read, a driven one followed."""
    return attaching.resume(run_place(str(run)), options or RunOptions())


def retry(run: Place | str, options: RunOptions | None = None) -> RunResult:
    """Try the failed exposures of a run again; `alignsvc.run.verbs.retrying` says how."""
    return retry_failed(run_place(str(run)), options or RunOptions())


def cancel(run: Place | str) -> Cancellation:
    """Ask a run to stop, wherever it is driven, and wait for it; what is done is kept."""
    return cancel_run(run_place(str(run)))


def clean(run: Place | str, *, keep_mosaic: bool = False) -> Cleaning:
    """Remove what a run that nobody drives needs no more: pixels, and tables of single tasks."""
    return clean_run(run_place(str(run)), keep_mosaic=keep_mosaic)


def _loaded(config: Config | Path | str, overrides: tuple[str, ...]) -> Config:
    if isinstance(config, Config):
        if overrides:
            raise ConfigError("overrides go with a configuration file, not with a Config")
        return config
    return load_config(Path(config), overrides)


def _extending(config: Config, extend: Place | str | None, *, freeze: bool) -> Config:
    """Return the configuration of a run that extends another; as it is if it extends none."""
    if extend is None and not freeze:
        return config
    run = {**config.run.model_dump(), "freeze": freeze or config.run.freeze}
    if extend is not None:
        run["extend"] = str(extend)
    try:
        section = RunSection.model_validate(run)
    except ValueError as error:
        raise ConfigError("freeze: name the finished run to extend too") from error
    return config.model_copy(update={"run": section})
