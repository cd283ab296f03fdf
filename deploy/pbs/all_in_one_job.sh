#!/usr/bin/env bash
#PBS -N alignsvc
#PBS -l select=1:ncpus=16:mem=64gb
#PBS -l walltime=12:00:00
#PBS -j oe
# One job that holds driver and workers: qsub -v CONFIG=align.yaml all_in_one_job.sh
# For sites that do not let jobs submit jobs. The configuration keeps its default,
# `cluster: {backend: local}`. When its time is over, hand it in again, and the run goes on.
set -euo pipefail

cd "${PBS_O_WORKDIR:?to be started by qsub}"
exec alignsvc run "${CONFIG:?usage: qsub -v CONFIG=align.yaml $0}" --workers "${NCPUS:-1}"
