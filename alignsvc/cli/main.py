"""The command line: parse, call, show. All work is in `alignsvc.api`, imported when needed."""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from alignsvc.cli.ends import Stopped, ended_by, ended_by_interrupt, run_named
from alignsvc.cli.options import (
    AsJson,
    Attempt,
    ConfigFile,
    Output,
    Overrides,
    RunDirectory,
    Wanted,
    Workers,
    with_options,
)
from alignsvc.cli.output import print_lines
from alignsvc.domain.outcome import ExitCode
from alignsvc.errors import ConfigError
from alignsvc.io.places import folder_place, place_of, run_place
from alignsvc.version import VERSION
from alignsvc.wording import counted

app = typer.Typer(
    name="alignsvc",
    help="Align overlapping astronomical exposures to a few thousandths of a pixel.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: How soon an interrupt comes again that was dropped: the finalizer has ended by then.
_AGAIN_S = 0.05


def main() -> NoReturn:
    """Run the command that the shell gave, and end with the contract's exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _interrupt_again
    code = exit_code(sys.argv[1:])
    # To look through all that ends with this process, for garbage, takes 0.4 s after a run.
    gc.freeze()
    sys.exit(code)


def exit_code(arguments: Sequence[str]) -> ExitCode:
    """Run a command; return its exit code. Every error is one sentence on stderr."""
    try:
        # Without standalone mode typer returns the code of an Exit and raises all else.
        code = app(list(arguments) or ["--help"], prog_name="alignsvc", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where what nobody foresaw ends
        return ended_by(error)
    if code == ExitCode.INTERRUPTED:
        return ended_by_interrupt()
    return ExitCode(code or ExitCode.DONE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End a run that is told to stop as Ctrl-C does: workers are closed, the lease given back."""
    raise KeyboardInterrupt


def _interrupt_again(dropped: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt once more that struck in a finalizer, where Python drops what is raised.

    A driver lets go of a future for each task: one interrupt in fifty was lost, the run went on.
    """
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(dropped)


@app.command()
@with_options
def run(config: ConfigFile, wanted: Wanted, attempt: Attempt, output: Output) -> None:
    """Align the exposures that CONFIG names."""
    from alignsvc.cli.beginning import begin_workers

    begin_workers(config, wanted.overrides)
    from alignsvc import api
    from alignsvc.cli import show

    with run_named(), show.progress(output) as listener:
        result = api.align(
            config,
            api.RunOptions(
                overrides=wanted.overrides,
                workers=attempt.workers,
                replace=attempt.new,
                listener=listener,
                go_on=listener.ask_to_go_on if attempt.confirm else None,
                has_own_process=True,
            ),
            extend=wanted.extend,
            freeze=wanted.freeze,
        )
    show.result(result, output)
    raise typer.Exit(result.exit_code)


@app.command()
@with_options
def check(config: ConfigFile, wanted: Wanted, output: Output) -> None:
    """Read every header and show the plan; run nothing."""
    from alignsvc import api
    from alignsvc.cli import show

    with show.progress(output) as listener:
        plan = api.check(
            config,
            wanted.overrides,
            extend=wanted.extend,
            freeze=wanted.freeze,
            listener=listener,
        )
    show.plan(plan, as_json=output.as_json)
    raise typer.Exit(plan.exit_code)


@app.command()
@with_options
def submit(
    config: ConfigFile,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and the scripts; start nothing.")
    ] = False,
    *,
    output: Output,
) -> None:
    """Hand the run to the cluster that CONFIG names, and return; it goes on by itself."""
    from alignsvc import api
    from alignsvc.cli import show

    given = tuple(overrides or ())
    if dry_run:
        with show.progress(output) as listener:
            rehearsal = api.rehearse(config, given, listener=listener)
        show.rehearsal(rehearsal, as_json=output.as_json)
        raise typer.Exit(rehearsal.plan.exit_code)
    with show.progress(output) as listener:
        submission = api.submit(config, api.RunOptions(overrides=given, listener=listener))
    show.submission(submission, output)


@app.command()
def status(run_directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show where a run stands."""
    from alignsvc import api
    from alignsvc.cli import show

    show.status(api.status(run_directory), as_json=as_json)


@app.command()
@with_options
def watch(
    run_directory: RunDirectory,
    interval: Annotated[
        float, typer.Option(min=0.2, max=60.0, help="Seconds between two looks.")
    ] = 2.0,
    *,
    output: Output,
) -> None:
    """Follow a run until it has ended, was cancelled, or nobody drives it any more."""
    from alignsvc import api
    from alignsvc.cli import show_runs

    try:
        last = show_runs.watched(api.watch(run_directory, interval), output)
    except KeyboardInterrupt as error:
        raise Stopped(f"{run_directory}: no longer watched; the run goes on") from error
    if last.state.exit_code is None:
        raise Stopped(last.lines()[0])
    raise typer.Exit(last.state.exit_code)


@app.command()
def cancel(run_directory: RunDirectory, as_json: AsJson = False) -> None:
    """Stop a run, wherever it is driven; what is done is kept."""
    from alignsvc import api
    from alignsvc.cli import show_runs

    show_runs.told(api.cancel(run_directory), as_json=as_json)


@app.command()
@with_options
def resume(
    run_directory: RunDirectory,
    workers: Workers = None,
    *,
    output: Output,
) -> None:
    """Go on with a run that was stopped; on a finished one do nothing."""
    from alignsvc import api
    from alignsvc.cli import show

    with run_named(), show.progress(output) as listener:
        options = api.RunOptions(workers=workers, listener=listener, has_own_process=True)
        result = api.resume(run_directory, options)
    show.result(result, output)
    raise typer.Exit(result.exit_code)


@app.command()
@with_options
def retry(
    run_directory: RunDirectory,
    failed: Annotated[bool, typer.Option("--failed", help="The exposures that failed.")] = False,
    workers: Workers = None,
    *,
    output: Output,
) -> None:
    """Try failed exposures again, once files are mended or workers are well."""
    from alignsvc import api
    from alignsvc.cli import show

    if not failed:
        raise ConfigError("retry: wanted --failed: the exposures that failed are tried again")
    with run_named(), show.progress(output) as listener:
        options = api.RunOptions(workers=workers, listener=listener, has_own_process=True)
        result = api.retry(run_directory, options)
    show.result(result, output)
    raise typer.Exit(result.exit_code)


@app.command()
def explain(
    run_directory: RunDirectory,
    exposure: Annotated[str, typer.Argument(metavar="EXPOSURE", help="Its id.")],
    as_json: AsJson = False,
) -> None:
    """Show all that happened to an exposure, and what to do about it."""
    from alignsvc import api
    from alignsvc.cli import show_runs

    show_runs.explained(api.explain(run_directory, exposure), as_json=as_json)


@app.command(name="list")
def list_(
    root: Annotated[
        Path,
        typer.Argument(metavar="ROOT", parser=run_place, help="Runs below it are shown."),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the runs below a directory."""
    from alignsvc import api
    from alignsvc.cli import show_runs

    show_runs.listed(api.list_runs(root), as_json=as_json)


@app.command()
def clean(
    run_directory: RunDirectory,
    keep_mosaic: Annotated[
        bool, typer.Option("--keep-mosaic", help="Keep mosaic.zarr and what goes with it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what a run that nobody drives needs no more."""
    from alignsvc import api
    from alignsvc.cli import show_runs

    show_runs.told(api.clean(run_directory, keep_mosaic=keep_mosaic), as_json=as_json)


@app.command()
def report(run_directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show the result of a run."""
    from alignsvc import api
    from alignsvc.cli import show

    show.report(api.report(run_directory), as_json=as_json)


@app.command()
def apply(
    run_or_files: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN | FILE...", parser=place_of, help="A run, or files with --from."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", parser=place_of, help="A corrections.ecsv, to put on FILEs."),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Edit the inputs.")] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=folder_place, help="Write copies under this directory, or URL."
        ),
    ] = None,
    head: Annotated[bool, typer.Option("--head", help="Write .head files.")] = False,
) -> None:
    """Write the corrected WCSs of a finished run."""
    from alignsvc import api
    from alignsvc.cli import show

    destination = api.destination(in_place=in_place, to=to, head=head)
    with show.what_was_written():
        if source is not None:
            show.written(api.apply_from(source, tuple(run_or_files), destination))
        elif len(run_or_files) == 1:
            show.written(api.apply(run_or_files[0], destination))
        else:
            raise ConfigError("apply: wanted one run, or --from corrections.ecsv FILE...")


@app.command()
def revert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Corrected files.")],
) -> None:
    """Restore the archived WCS, bit for bit."""
    from alignsvc import api
    from alignsvc.cli import show

    with show.what_was_written():
        show.written(api.revert(tuple(files)))


@app.command()
def simulate(
    first: Annotated[Path, typer.Argument(metavar="SKY.yaml | RUN", parser=place_of)],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", parser=place_of, help="Of the exposures.")
    ],
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Judge RUN against the truth in DIR.")
    ] = False,
) -> None:
    """Make exposures with known truth, or judge a run against it."""
    from alignsvc import api

    if evaluate:
        print_lines(json.dumps(api.evaluate(first, directory), indent=2).splitlines())
    else:
        n_exposures = api.simulate(first, directory)
        print_lines([f"{counted(n_exposures, 'exposure')} and truth.json in {directory}"])


@app.command()
def prepare() -> None:
    """Compile what else the first run would compile; once for an installation."""
    from alignsvc import api

    done = api.prepare()
    print_lines(
        [
            f"{counted(done.n_compiled, 'loop')} compiled, {done.n_found} at hand already, "
            f"in {done.seconds:.0f} s"
        ]
    )


@app.command()
def version() -> None:
    """Print the version."""
    print_lines([VERSION])


if __name__ == "__main__":
    main()
