"""Batch systems: what is asked of them, what is refused before, what jobs are replaced."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alignsvc.config.build import build_cluster
from alignsvc.config.load import load_config
from alignsvc.engine import batch_jobs, batch_system
from alignsvc.engine.batch_jobs import JobKeeper
from alignsvc.engine.batch_system import BatchSystem
from alignsvc.engine.clusters import cluster_backend, missing_here, require_here
from alignsvc.engine.clusters.batch import BatchBackend
from alignsvc.engine.clusters.pbs import PbsBackend
from alignsvc.engine.clusters.slurm import SlurmBackend
from alignsvc.engine.driver_places import DriverJob, DriverRun, DriverStanding, driver_place
from alignsvc.errors import ConfigError, ResourceError, TransientError

SYSTEMS = ("slurm", "pbs", "sge", "lsf")
ROOT = Path(__file__).resolve().parents[3]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def batch(system: str, **settings: Any) -> BatchBackend:
    backend = cluster_backend(system, {"workers": 4, "memory": "2 GiB", **settings})
    assert isinstance(backend, BatchBackend)
    return backend


@pytest.fixture
def run(tmp_path: Path) -> DriverRun:
    return DriverRun(f"{tmp_path}/a run", "0123456789abcdef", tmp_path / "logs")


def scripts(backend: BatchBackend, run: DriverRun) -> tuple[str, str]:
    """Return the job scripts of a driver and of workers."""
    place = driver_place(backend.system.name, backend)
    return place.script(run), backend.worker_script(run.run_id, run.logs)


def shell_check(*files: Path) -> None:
    words = [SHELLCHECK, "--severity=warning", *files]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# Scripts


@pytest.mark.parametrize(
    ("system", "asked"),
    [
        ("slurm", ["-p debug", "-A me", "--cpus-per-task=3", "--mem=6G", "-t 02:00:00"]),
        ("pbs", ["-q debug", "-A me", "-l select=1:ncpus=3:mem=6144MB", "-l walltime=02:00:00"]),
        ("sge", ["-q debug", "-P me", "-l h_rt=02:00:00"]),
        ("lsf", ["-q debug", '-P "me"', "-n 3", "-W 02:00"]),
    ],
)
def test_a_job_of_workers_asks_for_what_the_configuration_says(
    system: str, asked: list[str], run: DriverRun
) -> None:
    backend = batch(
        system,
        cores=3,
        walltime="02:00:00",
        queue="debug",
        account="me",
        extra_directives=["--mine"],
        job_script_prologue=["module load python"],
    )
    script = scripts(backend, run)[1]
    lines = script.splitlines()
    for words in [*asked, "--mine"]:
        assert any(line.startswith("#") and line.endswith(f" {words}") for line in lines), words
    assert "module load python" in lines
    # A process of one thread for each core, that has the heap and the threads of ours.
    assert "--nthreads 1 --memory-limit 2.00GiB --nworkers 3" in script
    assert "export OMP_NUM_THREADS=1" in lines
    assert "export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False" in lines


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_driver_s_job_has_settings_of_its_own_and_goes_on_with_the_run(
    system: str, run: DriverRun
) -> None:
    backend = batch(system, queue="short", driver={"queue": "long", "walltime": "48:00:00"})
    script = scripts(backend, run)[0]
    assert "-q long" in script or "-p long" in script
    assert "48:00" in script
    assert script.endswith(f"exec {sys.executable} -m alignsvc.cli.main resume '{run.where}'\n")


def test_the_driver_may_ask_in_other_words_than_workers(run: DriverRun) -> None:
    driver = {"resource_spec": "nodes=1:ppn=1,mem=8gb"}
    backend = batch("pbs", resource_spec="nodes=1:ppn=4,mem=16gb", driver=driver)
    asked = [script.splitlines() for script in scripts(backend, run)]
    assert "#PBS -l nodes=1:ppn=1,mem=8gb" in asked[0]
    assert "#PBS -l nodes=1:ppn=4,mem=16gb" in asked[1]
    with pytest.raises(ConfigError, match="found 'resource_spec'"):
        batch("slurm", driver=driver)


def test_scripts_are_sound_shell(run: DriverRun, tmp_path: Path) -> None:
    files = []
    for system in SYSTEMS:
        backend = batch(system, environment={"GREETING": "it's $HOME", "TOKEN": None})
        for name, script in zip(("driver", "worker"), scripts(backend, run), strict=True):
            files.append(tmp_path / f"{system}-{name}.sh")
            files[-1].write_text(script)
    shell_check(*files)


def test_what_is_deployed_is_sound_shell() -> None:
    files = sorted((ROOT / "deploy").rglob("*.sh"))
    assert files
    shell_check(*files)


@pytest.mark.parametrize("name", ["slurm", "pbs"])
def test_examples_of_configurations_are_whole(name: str, run: DriverRun) -> None:
    backend = build_cluster(load_config(ROOT / f"configs/{name}.yaml"), None)
    assert isinstance(backend, BatchBackend)
    assert backend.system.name == name
    assert all("module load" in script for script in scripts(backend, run))


@pytest.mark.parametrize(
    ("system", "directive"),
    [
        ("slurm", "#SBATCH --export=ALL,DATABASE_PASSWORD"),
        ("pbs", "#PBS -v DATABASE_PASSWORD"),
        ("sge", "#$ -v DATABASE_PASSWORD"),
        ("lsf", '#BSUB -env "all, DATABASE_PASSWORD"'),
    ],
)
def test_secrets_go_by_their_names(
    system: str, directive: str, run: DriverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "swordfish")
    for script in scripts(batch(system, environment={"DATABASE_PASSWORD": None}), run):
        assert directive in script.splitlines()
        assert "swordfish" not in script


def test_jobs_have_the_arithmetic_that_the_driver_has(
    run: DriverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v3")
    for script in scripts(batch("pbs"), run):
        assert "export OPENBLAS_CORETYPE=Zen" in script.splitlines()
        assert "export NUMBA_CPU_NAME=x86-64-v3" in script.splitlines()
        assert "export OPENBLAS_NUM_THREADS=1" in script.splitlines()


@pytest.mark.parametrize(
    ("walltime", "most_s"), [("00:01:00", 60), ("00:10:00", 600), ("1-00:00:00", 86400)]
)
def test_workers_end_before_their_job_is_ended(walltime: str, most_s: int, run: DriverRun) -> None:
    words = scripts(batch("slurm", walltime=walltime), run)[1].split()
    life_s = float(words[words.index("--lifetime") + 1].rstrip("s"))
    stagger_s = float(words[words.index("--lifetime-stagger") + 1].rstrip("s"))
    assert most_s / 2 < life_s - stagger_s
    assert life_s + stagger_s < most_s


# Refused before anything is submitted


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 0}, r"cluster.workers: found 0"),
        ({"workers": {"minimum": 3, "maximum": 2}}, r"cluster.workers"),
        ({"workers": {"maximun": 2}}, r"cluster.workers"),
        ({"memory": "much"}, r"cluster.memory: found 'much'"),
        ({"cores": 0}, r"cluster.cores"),
        ({"walltime": 43200}, r"cluster.walltime: found 43200, wanted .* in quotes"),
        ({"walltime": "12:00"}, r"cluster.walltime"),
        ({"queue": "a b"}, r"cluster.queue"),
        ({"extra_directives": "-x"}, r"cluster.extra_directives"),
        ({"job_script_prologue": ["a\nb"]}, r"cluster.job_script_prologue"),
        ({"driver": {"walltim": "1"}}, r"cluster.driver: found 'walltim'"),
        ({"driver": {"memory": 3}}, r"cluster.driver.memory"),
        ({"environment": {"A-B": "1"}}, r"cluster.environment"),
        ({"environment": {"A": 1}}, r"cluster.environment.A: found 1, wanted text in quotes"),
        ({"environment": {"AWS_SECRET_ACCESS_KEY": "x"}}, r"looks like a secret"),
        ({"environment": {"PROXY": "http://me:x@host"}}, r"looks like a secret"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        batch("slurm", **settings)


def test_a_package_that_is_missing_is_named_with_its_extra(
    run: DriverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ConfigError, match=r"pip install 'alignsvc\[batch\]'"):
        scripts(batch("slurm"), run)


def test_a_machine_without_the_commands_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for system, programs in {
        "slurm": "sbatch, squeue, scancel",
        "pbs": "qsub, qstat, qdel",
        "sge": "qsub, qstat, qdel",
        "lsf": "bsub, bjobs, bkill",
    }.items():
        backend = batch(system, interface="lo")
        with pytest.raises(ConfigError, match=f"there is no {programs} here; .* on PATH"):
            require_here(backend)
        job = backend.system.cluster().job_cls
        assert (job.submit_command.split()[0], job.cancel_command.split()[0]) == (
            backend.system.submit_command,
            backend.system.cancel_command,
        )


@pytest.mark.parametrize(
    ("settings", "package", "extra"),
    [
        ({"backend": "slurm", "workers": 1, "memory": "1 GiB"}, "dask_jobqueue", "batch"),
        ({"backend": "ssh", "hosts": ["localhost"]}, "asyncssh", "ssh"),
        ({"backend": "kubernetes", "image": "a", "workers": 1}, "kr8s", "kubernetes"),
        ({"backend": "gateway", "address": "https://a", "workers": 1}, "dask_gateway", "gateway"),
        ({"backend": "local", "security": {"temporary": True}}, "cryptography", "tls"),
    ],
)
def test_what_a_backend_lacks_here_is_told_before_anything_starts(
    settings: dict[str, object], package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {key: value for key, value in settings.items() if key != "backend"}
    backend = cluster_backend(str(settings["backend"]), others)
    had = missing_here(backend)
    monkeypatch.setitem(sys.modules, package, None)
    (more,) = set(missing_here(backend)) - set(had)
    assert package in more
    assert f"pip install 'alignsvc[{extra}]'" in more


def test_a_backend_that_needs_nothing_more_lacks_nothing() -> None:
    for name in ("serial", "local"):
        assert missing_here(cluster_backend(name, {})) == ()


def test_the_loopback_is_warned_of() -> None:
    assert "this machine only" in batch("slurm", interface="lo").notes()[0]
    assert "not one of this machine" in batch("slurm", interface="nowhere0").notes()[0]
    assert batch("slurm").notes() == ()


# Which jobs there are


@pytest.mark.parametrize(
    ("system", "said", "code", "complaint", "found"),
    [
        (SlurmBackend.system, "12 RUNNING None\n13 PENDING Priority\n", 0, "", {"12", "13"}),
        (SlurmBackend.system, "", 1, "Unable to contact slurm controller", None),
        (
            PbsBackend.system,
            "\nhost:\n                Req'd  Req'd   Elap\nJob ID Username\n------ -----\n"
            "7.host me batch w -- 1 1 1gb 01:00 Q --\n8.host me batch w 12 1 1 1gb 01:00 C 00:10\n",
            0,
            "",
            {"7"},
        ),
        (batch("lsf").system, "", 255, "No unfinished job found", set()),
        (batch("sge").system, "job-ID prior\n----\n  9 0.5 w me r 01/01\n", 0, "", {"9"}),
    ],
)
def test_jobs_are_read_from_what_the_system_prints(
    monkeypatch: pytest.MonkeyPatch,
    system: BatchSystem,
    said: str,
    code: int,
    complaint: str,
    found: set[str] | None,
) -> None:
    answer = SimpleNamespace(returncode=code, stdout=said, stderr=complaint)
    monkeypatch.setattr(batch_system.subprocess, "run", lambda *words, **settings: answer)
    assert system.jobs() == found


@pytest.mark.parametrize(
    ("system", "line", "words", "waits"),
    [
        ("slurm", "7 PENDING Resources", "PENDING (Resources)", True),
        ("slurm", "7 PENDING (ReqNodeNotAvail, Reserved)", "PENDING (ReqNodeNotAvail, Res", True),
        ("slurm", "7 RUNNING None", "RUNNING", False),
        ("pbs", "7.host me batch w -- 1 1 1gb 01:00 Q --", "queued", True),
        ("pbs", "7.host me batch w 12 1 1 1gb 01:00 R 00:01", "running", False),
        ("sge", "  7 0.5 w me Eqw 01/01/2026 00:00:00 1", "held after an error", True),
        ("sge", "  7 0.5 w me r 01/01/2026 00:00:00 all.q 1", "running", False),
        ("lsf", "7 PEND", "PEND", True),
        ("lsf", "7 USUSP", "USUSP", False),
    ],
)
def test_how_a_driver_waits_is_told_in_the_system_s_words(
    system: str, line: str, words: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SimpleNamespace(returncode=0, stdout=f"{line}\n", stderr="")
    monkeypatch.setattr(batch_system.subprocess, "run", lambda *words, **settings: answer)
    place = driver_place(system, batch(system))
    state = place.state_of(DriverJob("7"))
    assert state.words.startswith(words)
    assert (state.standing is DriverStanding.WAITS) is waits
    assert place.state_of(DriverJob("8")).standing is DriverStanding.GONE


def test_a_driver_that_somebody_else_submitted_is_not_taken_for_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def squeue(words: list[str], **settings: object) -> SimpleNamespace:
        said = "" if "--user" in words else "7 PENDING Priority\n"
        return SimpleNamespace(returncode=0, stdout=said, stderr="")

    monkeypatch.setattr(batch_system.subprocess, "run", squeue)
    state = driver_place("slurm", batch("slurm")).state_of(DriverJob("7"))
    assert state.standing is DriverStanding.WAITS


def test_a_batch_system_that_does_not_answer_or_refuses_is_told_in_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = SimpleNamespace(returncode=1, stdout="", stderr="error: Access denied")
    monkeypatch.setattr(batch_system.subprocess, "run", lambda *words, **settings: answer)
    place = driver_place("slurm", batch("slurm"))
    with pytest.raises(TransientError, match="squeue: error: Access denied"):
        place.state_of(DriverJob("7"))
    with pytest.raises(ResourceError, match="scancel: error: Access denied"):
        place.remove(DriverJob("7"))

    def hangs(words: list[str], timeout: float, **settings: object) -> None:
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(batch_system.subprocess, "run", hangs)
    with pytest.raises(TransientError, match="squeue gave no answer within 20 s"):
        place.state_of(DriverJob("7"))


@dataclass
class Jobs:
    """A cluster of jobs, and the batch system that runs them, as a keeper sees them."""

    workers: dict[str, Any]
    listed: set[str] | None
    connected: set[str] = field(default_factory=set)
    worker_spec: dict[str, Any] = field(default_factory=dict)

    @property
    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": {name: {"name": name} for name in self.connected}}

    def jobs(self) -> set[str] | None:
        return self.listed

    def sync(self, action: Any, *arguments: Any, callback_timeout: float) -> None:
        with pytest.raises(StopIteration):
            action(*arguments).send(None)

    @property
    def name(self) -> str:
        return "slurm"


def job(number: str | None) -> Any:
    return SimpleNamespace(job_id=number, status=None)


def keeper_of(jobs: Jobs, complaints: list[str] | None = None) -> JobKeeper:
    return JobKeeper(jobs, jobs, complaints or [], "logs")  # type: ignore[arg-type]


def test_a_job_that_is_gone_twice_is_forgotten_so_that_it_is_replaced() -> None:
    jobs = Jobs({"a": job("1"), "b": job("2"), "c": job("3")}, {"2"}, {"c"})
    keeper = keeper_of(jobs)
    keeper.look()
    assert set(jobs.workers) == {"a", "b", "c"}  # it may have been submitted this very moment
    keeper.look()
    assert set(jobs.workers) == {"b", "c"}  # b waits in the queue, c works


def test_a_job_with_some_of_its_workers_is_kept_while_it_runs() -> None:
    jobs = Jobs({"a": job("1")}, {"1"}, {"a-0"}, {"a": {"group": ["-0", "-1"]}})
    keeper = keeper_of(jobs)
    keeper.look()
    keeper.look()
    assert set(jobs.workers) == {"a"}
    jobs.listed = set()
    keeper.look()
    keeper.look()
    assert not jobs.workers


def test_a_batch_system_that_does_not_answer_costs_no_job() -> None:
    jobs = Jobs({"a": job("1")}, None)
    keeper = keeper_of(jobs)
    for _ in range(5):
        keeper.look()
    assert set(jobs.workers) == {"a"}


def test_the_batch_system_is_asked_less_often_while_nothing_happens() -> None:
    jobs = Jobs({"a": job("1"), "b": job("2")}, {"1", "2"}, {"a"})
    keeper = keeper_of(jobs)
    assert [keeper.look(), keeper.look()] == [False, True]  # b waits in the queue
    jobs.connected = {"a", "b"}
    assert not keeper.look()
    jobs.connected, jobs.listed = {"a"}, {"1"}
    assert [keeper.look(), keeper.look()] == [False, False]  # b is gone, and replaced


def vain(keeper: JobKeeper, jobs: Jobs, number: str | None) -> None:
    """Have a job end before its worker came."""
    jobs.workers["a"] = job(number)
    keeper.look()
    keeper.look()


def test_jobs_in_vain_come_to_an_end() -> None:
    jobs = Jobs({}, set())
    keeper = keeper_of(jobs)
    for number in range(batch_jobs._VAIN):
        keeper.require_hope()
        vain(keeper, jobs, str(number))
    keeper.look()
    with pytest.raises(ResourceError, match=r"5 jobs in a row ended .* see logs, then resume"):
        keeper.require_hope()


def test_a_worker_that_comes_makes_up_for_jobs_in_vain() -> None:
    jobs = Jobs({}, set())
    keeper = keeper_of(jobs)
    for number in range(batch_jobs._VAIN - 1):
        vain(keeper, jobs, str(number))
    jobs.connected = {"a"}
    vain(keeper, jobs, "100")
    jobs.connected = set()
    vain(keeper, jobs, "101")
    keeper.require_hope()


def test_a_job_that_is_not_taken_is_told_in_the_system_s_words() -> None:
    jobs = Jobs({}, set())
    keeper = keeper_of(jobs, ["invalid partition"])
    for _ in range(2 * batch_jobs._VAIN):
        vain(keeper, jobs, None)
    with pytest.raises(ResourceError, match="slurm: no job is taken: invalid partition"):
        keeper.require_hope()
