"""What a run was made of, and by what: enough to make it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from alignsvc.config.load import dump_config
from alignsvc.config.schema import Config
from alignsvc.domain.digest import digest_of
from alignsvc.io.locations import CONFIG
from alignsvc.io.places import Place
from alignsvc.redaction import HIDDEN, redacted
from alignsvc.run.planning.plan import Plan
from alignsvc.version import VERSION
from alignsvc.wording import counted

#: Packages that numbers, or how they came about, may depend on.
_PACKAGES = (
    *("numpy", "scipy", "astropy", "drizzle", "reproject", "sep", "zarr", "obstore"),
    *("dask", "distributed", "pydantic"),
)


@dataclass(frozen=True, slots=True, eq=False)
class InputFiles:
    """The exposures that a run was given.

    Parameters
    ----------
    paths : tuple of str
        As the configuration has them.
    n_exposures, n_files : int
        Sound ones, and their files.
    fingerprints : mapping of exposure id to str
        Digests of sizes and header blocks.
    """

    paths: tuple[str, ...]
    n_exposures: int
    n_files: int
    fingerprints: Mapping[str, str]

    @property
    def digest(self) -> str:
        """One for all fingerprints: another one means that an input is another."""
        return digest_of(tuple(sorted(self.fingerprints.items())))

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "paths": list(self.paths),
            "exposures": self.n_exposures,
            "files": self.n_files,
            "digest": self.digest,
            "fingerprints": dict(self.fingerprints),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Provenance:
    """What a run was made of.

    Parameters
    ----------
    identity : str
    seed : int
        Of all random choices.
    command : str
        That makes it again.
    inputs : InputFiles
    versions : mapping of name to version
        Of the program, Python, the packages and the system of the driver.
    configuration : mapping
        With every default that changes a number, and no credentials.
    configuration_text : str
        The same as YAML.
    """

    identity: str
    seed: int
    command: str
    inputs: InputFiles
    versions: Mapping[str, str]
    configuration: Mapping[str, Any]
    configuration_text: str

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """What the page says, by name."""
        one = self.inputs
        return (
            ("inputs", ", ".join(one.paths)),
            ("sound exposures", f"{one.n_exposures} in {counted(one.n_files, 'file')}"),
            ("digest of their fingerprints", one.digest),
            ("identity of the run", self.identity),
            ("seed", str(self.seed)),
            ("to make it again", self.command),
            *self.versions.items(),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, the configuration apart."""
        return {
            "identity": self.identity,
            "seed": self.seed,
            "command": self.command,
            "versions": dict(self.versions),
        }


def provenance_of(run: Place, plan: Plan) -> Provenance:
    """Return what a run is made of: versions are those of this process, its driver."""
    files = {chip.science.uri for header in plan.headers for chip in header.ref.chips}
    return Provenance(
        identity=plan.identity,
        seed=plan.config.run.seed,
        command=f"alignsvc run {run / CONFIG} --set run.directory=ANOTHER",
        inputs=InputFiles(
            tuple(redacted(path) for path in plan.config.images.paths),
            len(plan.headers),
            len(files),
            {header.ref.id: header.ref.fingerprint for header in plan.headers},
        ),
        versions=versions_of_driver(),
        configuration=shown_configuration(plan.config),
        configuration_text=redacted(dump_config(plan.config)),
    )


def versions_of_driver() -> dict[str, str]:
    """Return the versions of this process's program, Python, packages and system."""
    found = {"alignsvc": VERSION, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "system": f"{platform.system()} {platform.release()} {platform.machine()}"}


def shown_configuration(config: Config) -> dict[str, Any]:
    """Return a configuration as JSON values, with ``***`` for credentials."""
    shown = _shown(config.model_dump(mode="json"))
    assert isinstance(shown, dict)
    return shown


def _shown(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _shown(one, str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_shown(one, key) for one in value]
    if not isinstance(value, str):
        return value
    named = f"{key}: {value}"
    # Some are told by their name alone.
    return redacted(value) if redacted(value) != value or redacted(named) == named else HIDDEN
