"""The command line: parse, call, show. All work is in `alignsvc.api`, imported when needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from alignsvc.domain.outcome import ExitCode
from alignsvc.errors import AlignError, ConfigError, HeaderError, NotYet
from alignsvc.version import VERSION

app = typer.Typer(
    name="alignsvc",
    help="Align overlapping astronomical exposures to a few thousandths of a pixel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML configuration.")]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="The run's directory.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a key of the configuration."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def main() -> NoReturn:
    """Run the command line; every error on purpose is one sentence and an exit code."""
    try:
        app(standalone_mode=False)
    except AlignError as error:
        print(f"alignsvc: {error}", file=sys.stderr)  # noqa: T201 - the program's own message
        sys.exit(exit_code_of(error))
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("alignsvc: interrupted; `alignsvc resume RUN` goes on", file=sys.stderr)  # noqa: T201
        sys.exit(ExitCode.INTERRUPTED)
    except typer.BadParameter as error:
        print(f"alignsvc: {error.format_message()}", file=sys.stderr)  # noqa: T201
        sys.exit(ExitCode.BAD_CONFIGURATION)
    sys.exit(ExitCode.DONE)


def exit_code_of(error: AlignError) -> ExitCode:
    """Return the contract's exit code for an error that ended a command."""
    if isinstance(error, ConfigError):
        return ExitCode.BAD_CONFIGURATION
    if isinstance(error, HeaderError):
        return ExitCode.SOME_FAILED
    return ExitCode.RUN_STORE


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(help="Workers; all cores by default.")] = None,
    confirm: Annotated[bool, typer.Option(help="Ask after each pass.")] = False,
    new: Annotated[bool, typer.Option(help="Replace a run of another identity.")] = False,
    as_json: AsJson = False,
) -> None:
    """Align the exposures that CONFIG names."""
    from alignsvc import api
    from alignsvc.cli import show

    with show.progress(quiet=as_json) as listener:
        result = api.align(
            config,
            api.RunOptions(
                overrides=tuple(overrides or ()),
                workers=workers,
                replace=new,
                listener=listener,
                go_on=show.ask_to_go_on if confirm else None,
            ),
        )
    show.result(result, as_json=as_json)
    raise typer.Exit(result.exit_code)


@app.command()
def check(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Read every header and show the plan; run nothing."""
    from alignsvc import api
    from alignsvc.cli import show

    plan = api.check(config, tuple(overrides or ()))
    show.plan(plan, as_json=as_json)
    raise typer.Exit(plan.exit_code)


@app.command()
def status(run_directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show where a run stands."""
    from alignsvc import api
    from alignsvc.cli import show

    show.status(api.status(run_directory), as_json=as_json)


@app.command()
def report(run_directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show the result of a run."""
    from alignsvc import api
    from alignsvc.cli import show

    show.report(api.report(run_directory), as_json=as_json)


@app.command()
def resume(
    run_directory: RunDirectory,
    workers: Annotated[int | None, typer.Option(help="Workers; all cores by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped; on a finished one do nothing."""
    from alignsvc import api
    from alignsvc.cli import show

    with show.progress(quiet=as_json) as listener:
        result = api.resume(run_directory, api.RunOptions(workers=workers, listener=listener))
    show.result(result, as_json=as_json)
    raise typer.Exit(result.exit_code)


@app.command()
def apply(
    run_or_files: Annotated[
        list[Path], typer.Argument(metavar="RUN | FILE...", help="A run, or files with --from.")
    ],
    source: Annotated[
        Path | None, typer.Option("--from", help="A corrections.ecsv, to put on FILEs.")
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Edit the inputs.")] = False,
    to: Annotated[Path | None, typer.Option(help="Write copies under this directory.")] = None,
    head: Annotated[bool, typer.Option("--head", help="Write .head files.")] = False,
) -> None:
    """Write the corrected WCSs of a finished run."""
    from alignsvc import api
    from alignsvc.cli import show

    destination = api.destination(in_place=in_place, to=to, head=head)
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

    show.written(api.revert(tuple(files)))


@app.command()
def simulate(
    first: Annotated[Path, typer.Argument(metavar="SKY.yaml | RUN")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Of the exposures.")],
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Judge RUN against the truth in DIR.")
    ] = False,
) -> None:
    """Make exposures with known truth, or judge a run against it."""
    from alignsvc import api

    if evaluate:
        typer.echo(json.dumps(api.evaluate(first, directory), indent=2))
    else:
        n_files = api.simulate(first, directory)
        typer.echo(f"{n_files} exposures and truth.json in {directory}")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def _later(name: str) -> None:
    def not_yet(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        raise NotYet(f"alignsvc {name}: not yet in version {VERSION}")

    not_yet.__doc__ = f"Not yet: {name}."
    app.command(name, hidden=True, context_settings={"ignore_unknown_options": True})(not_yet)


for _name in ("submit", "watch", "cancel", "retry", "explain", "list", "clean"):
    _later(_name)

if __name__ == "__main__":
    main()
