"""A Slurm of one node on this machine, for as long as the tests need it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from own_cluster import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
#: Where distributions put daemons, which a user's PATH may lack.
DAEMONS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
CONF = """\
ClusterName=alignsvc
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.socket
CredType=cred/munge
SlurmctldPort={first_port}
SlurmdPort={second_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MinJobAge=60
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def why_no_slurm() -> str:
    """Return why there can be no Slurm here; empty if there can."""
    if os.geteuid() != 0:
        return "a Slurm of our own needs root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    return f"not installed: {', '.join(missing)} (slurm-wlm, munge)" if missing else ""


def search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *DAEMONS))


@dataclass(frozen=True)
class OwnSlurm:
    """Daemons that run, and their configuration."""

    folder: Path

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def tell(self, *words: str) -> str:
        """Run one of Slurm's programs; return what it prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": search_path()}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}{self.logs()}"
        return done.stdout

    def jobs(self, state: str = "RUNNING,PENDING,COMPLETING", name: str = "") -> list[str]:
        """Return the numbers of jobs in some states, oldest first."""
        rows = self.tell("squeue", "-h", "-o", "%A %j", "--states", state).splitlines()
        return sorted((row.split()[0] for row in rows if name in row.split()[1]), key=int)

    def logs(self) -> str:
        files = (self.folder / "log").glob("*.log")
        return "".join(f"\n--- {file.name}\n{file.read_text()[-3000:]}" for file in files)


@contextmanager
def own_slurm(folder: Path) -> Iterator[OwnSlurm]:
    """Start the daemons and yield when a node is idle; end them, and every job, afterwards."""
    for part in ("state", "spool", "log", "munge"):
        (folder / part).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    key = folder / "munge" / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    slurm = OwnSlurm(folder)
    first, second = _free_ports()
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 1000
    slurm.conf.write_text(
        CONF.format(
            host=_host(),
            folder=folder,
            first_port=first,
            second_port=second,
            # More than there are: what is tested is who does what, not how fast.
            cpus=max(4, os.cpu_count() or 1),
            memory_mb=memory_mb,
        )
    )
    with ExitStack() as closing:
        munge = folder / "munge"
        _daemon(
            closing,
            munge / "munged.pid",
            *("munged", "--force", f"--key-file={key}", f"--socket={munge}/munge.socket"),
            *(f"--pid-file={munge}/munged.pid", f"--log-file={munge}/munged.log"),
            *(f"--seed-file={munge}/munged.seed", "--num-threads=2"),
        )
        _daemon(closing, folder / "slurmctld.pid", "slurmctld", "-c", "-f", str(slurm.conf))
        _daemon(closing, folder / "slurmd.pid", "slurmd", "-N", _host(), "-f", str(slurm.conf))
        closing.callback(_end_jobs, slurm)
        wait_until(lambda: "idle" in slurm.tell("sinfo", "-h", "-o", "%T"))
        yield slurm


def _daemon(closing: ExitStack, pid_file: Path, *words: str) -> None:
    """Start a daemon, which forks; end it by the number that it writes down."""
    done = subprocess.run(
        words, env={**os.environ, "PATH": search_path()}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{words[0]}: {done.stderr}"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
    closing.callback(_end, int(pid_file.read_text()))


def _end(pid: int) -> None:
    for number in (15, 9):
        try:
            os.kill(pid, number)
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return


def _end_jobs(slurm: OwnSlurm) -> None:
    for number in slurm.jobs():
        slurm.tell("scancel", number)
    wait_until(lambda: not slurm.jobs())


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _host() -> str:
    return socket.gethostname().split(".")[0]


if __name__ == "__main__":
    print(why_no_slurm())
