#!/usr/bin/env bash
# Hand in a run for each configuration: several_runs.sh night1.yaml night2.yaml ...
# Each has a driver and workers of its own, and the batch system shares the nodes out. Handing one
# in again attaches to the run that there is, or gives it a new driver: so this script, from a
# timer, brings all of them home.
set -euo pipefail

if (($# == 0)); then
    echo "usage: $0 CONFIG.yaml..." >&2
    exit 2
fi
for config in "$@"; do
    alignsvc submit "$config"
done
