"""The command line: parse, call, show. All work is in `alignsvc.api`, imported when needed."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from alignsvc.cli.options import AsJson, Output, with_output
from alignsvc.cli.output import print_error, print_lines
from alignsvc.domain.outcome import ExitCode
from alignsvc.errors import (
    AlignError,
    ConfigError,
    DataError,
    HeaderError,
    RunCancelled,
    RunInterrupted,
)
from alignsvc.io.places import folder_place, place_of, run_place
from alignsvc.io.whole_files import DISK_REFUSES
from alignsvc.redaction import redacted
from alignsvc.version import VERSION
from alignsvc.wording import counted

#: Typer brings a click of its own or uses the installed one: the base of this one's errors.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="alignsvc",
    help="Align overlapping astronomical exposures to a few thousandths of a pixel.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML configuration.")]
# What is parsed is a `Place`: a Path, or a UrlPlace; typer knows no unions.
RunDirectory = Annotated[
    Path, typer.Argument(metavar="RUN", parser=run_place, help="The run's directory, or its URL.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a key of the configuration."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores by default.")]
Extend = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", parser=run_place, help="A finished run that the exposures join; only read."
    ),
]
Freeze = Annotated[
    bool, typer.Option("--freeze", help="Keep the corrections of that run: they hold the frame.")
]


def main() -> NoReturn:
    """Run the command that the shell gave, and end with the contract's exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: Sequence[str]) -> ExitCode:
    """Run a command; return its exit code. Every error is one sentence on stderr."""
    try:
        # Without standalone mode typer returns the code of an Exit and raises all else.
        code = app(list(arguments) or ["--help"], prog_name="alignsvc", standalone_mode=False)
    except AlignError as error:
        return _ended(str(error), exit_code_of(error))
    except UsageError as error:
        return _ended(_usage(error), ExitCode.BAD_CONFIGURATION)
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where what nobody foresaw ends
        if isinstance(error, OSError) and error.errno in DISK_REFUSES:
            return _ended(f"{error}; mend that and `alignsvc resume RUN`", ExitCode.RUN_STORE)
        return _ended(_internal(error), ExitCode.INTERNAL)
    if code == ExitCode.INTERRUPTED:
        return _ended("interrupted; `alignsvc resume RUN` goes on", ExitCode.INTERRUPTED)
    return ExitCode(code or ExitCode.DONE)


def exit_code_of(error: AlignError) -> ExitCode:
    """Return the contract's exit code for an error that ended a command."""
    if isinstance(error, ConfigError):
        return ExitCode.BAD_CONFIGURATION
    if isinstance(error, RunCancelled | _Stopped):
        return ExitCode.INTERRUPTED
    if isinstance(error, HeaderError | DataError):
        return ExitCode.SOME_FAILED
    return ExitCode.RUN_STORE


class _Stopped(AlignError):
    """Something came to its end before its time; not an error."""


@contextmanager
def _run_named() -> Iterator[None]:
    """Name the run where Ctrl-C, or a signal, ended a driver."""
    try:
        yield
    except RunInterrupted as error:
        raise _Stopped(f"interrupted; `alignsvc resume {error}` goes on") from error


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End a run that is told to stop as Ctrl-C does: workers are closed, the lease given back."""
    raise KeyboardInterrupt


def _ended(sentence: str, code: ExitCode) -> ExitCode:
    print_error(f"alignsvc: {redacted(sentence)}")
    return code


def _usage(error: Exception) -> str:
    message = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
    text = " ".join(message.split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    asked = context.command_path if context is not None else "alignsvc"
    return f"{text}; `{asked} --help` shows what can be given"


def _internal(error: Exception) -> str:
    """Return a sentence on an error that nobody foresaw; the traceback goes to a file."""
    trace = "".join(traceback.format_exception(error))
    text = " ".join(str(error).split())
    handle, name = tempfile.mkstemp(prefix="alignsvc-traceback-", suffix=".txt")
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - an open descriptor
        file.write(redacted(trace))
    return (
        f"internal error: {type(error).__name__}: {text}; this is a bug of alignsvc "
        f"{VERSION}, please report it with the traceback in {name}"
    )


@app.command()
@with_output
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    workers: Workers = None,
    confirm: Annotated[bool, typer.Option(help="Ask after each pass.")] = False,
    new: Annotated[bool, typer.Option(help="Replace a run of another identity.")] = False,
    extend: Extend = None,
    freeze: Freeze = False,
    *,
    output: Output,
) -> None:
    """Align the exposures that CONFIG names."""
    from alignsvc import api
    from alignsvc.cli import show

    with _run_named(), show.progress(output) as listener:
        result = api.align(
            config,
            api.RunOptions(
                overrides=tuple(overrides or ()),
                workers=workers,
                replace=new,
                listener=listener,
                go_on=listener.ask_to_go_on if confirm else None,
            ),
            extend=extend,
            freeze=freeze,
        )
    show.result(result, output)
    raise typer.Exit(result.exit_code)


@app.command()
@with_output
def check(
    config: ConfigFile,
    overrides: Overrides = None,
    extend: Extend = None,
    freeze: Freeze = False,
    *,
    output: Output,
) -> None:
    """Read every header and show the plan; run nothing."""
    from alignsvc import api
    from alignsvc.cli import show

    given = tuple(overrides or ())
    with show.progress(output) as listener:
        plan = api.check(config, given, extend=extend, freeze=freeze, listener=listener)
    show.plan(plan, as_json=output.as_json)
    raise typer.Exit(plan.exit_code)


@app.command()
@with_output
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
@with_output
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
        raise _Stopped(f"{run_directory}: no longer watched; the run goes on") from error
    if last.state.exit_code is None:
        raise _Stopped(last.lines()[0])
    raise typer.Exit(last.state.exit_code)


@app.command()
def cancel(run_directory: RunDirectory, as_json: AsJson = False) -> None:
    """Stop a run, wherever it is driven; what is done is kept."""
    from alignsvc import api
    from alignsvc.cli import show_runs

    show_runs.told(api.cancel(run_directory), as_json=as_json)


@app.command()
@with_output
def resume(
    run_directory: RunDirectory,
    workers: Workers = None,
    *,
    output: Output,
) -> None:
    """Go on with a run that was stopped; on a finished one do nothing."""
    from alignsvc import api
    from alignsvc.cli import show

    with _run_named(), show.progress(output) as listener:
        result = api.resume(run_directory, api.RunOptions(workers=workers, listener=listener))
    show.result(result, output)
    raise typer.Exit(result.exit_code)


@app.command()
@with_output
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
    with _run_named(), show.progress(output) as listener:
        result = api.retry(run_directory, api.RunOptions(workers=workers, listener=listener))
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
