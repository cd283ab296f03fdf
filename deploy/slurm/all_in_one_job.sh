#!/usr/bin/env bash
#SBATCH --job-name=alignsvc
#SBATCH --nodes=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --output=alignsvc-%j.out
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
# One job that holds driver and workers: sbatch all_in_one_job.sh align.yaml
# For sites that do not let jobs submit jobs, or bill by the node. The configuration keeps its
# default, `cluster: {backend: local}`. Two minutes before its time is over the driver ends as
# with Ctrl-C; hand the job in again, and the run goes on.
set -euo pipefail

config=${1:?usage: sbatch "$0" CONFIG.yaml}
# exec: what Slurm tells the job, the driver hears.
exec alignsvc run "$config" --workers "${SLURM_CPUS_PER_TASK:-1}"
