"""Measure everything and put it into RESULTS.md: ``python tests/benchmarks/run_all.py``."""

from __future__ import annotations

import warnings

import bench_numerics
import bench_peers
import bench_run
from harness import circumstances, table, write_results


def main() -> None:
    """Measure, write, print."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Written after each part: a bench that fails costs only what comes after it.
        comparisons = bench_numerics.main()
        write_results([circumstances(), table(comparisons)])
        comparisons += bench_run.executors()
        write_results([circumstances(), table(comparisons)])
        parts = [circumstances(), table(comparisons), bench_run.stages()]
        write_results(parts)
        parts.append(bench_peers.main(bench_peers.SKIES))
    write_results(parts)
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
