"""Measure all parts, or those named, and put them into RESULTS.md.

``python tests/benchmarks/run_all.py [PART ...]``; each part is written when it is done, so that one
that fails costs only what comes after it; parts that are not named stay as they were.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping

from harness import RESULTS, circumstances, table, with_part


def steps() -> str:
    """The steps of a pass next to libraries."""
    import bench_numerics

    return table(bench_numerics.main())


def executors() -> str:
    """Empty tasks."""
    import bench_executors

    return table(bench_executors.executors())


def overhead() -> str:
    """Tasks of half a second, and the books of ten thousand exposures."""
    import bench_overhead

    return bench_overhead.main()


def two_workers() -> str:
    """Two workers next to two processes that share nothing."""
    import bench_two_workers

    return bench_two_workers.main()


def driver() -> str:
    """What a driver occupies with a wide survey in hand."""
    import bench_driver_memory

    return bench_driver_memory.main()


def whole() -> str:
    """Whole alignments by stage, beside floors and other programs; simulated and real sets."""
    import bench_whole

    return bench_whole.main()


def flat() -> str:
    """What an exposure costs as there are more of them."""
    import bench_flat

    return bench_flat.main()


def programs() -> str:
    """Whole alignments by other programs."""
    import bench_peers

    return bench_peers.main(bench_peers.SKIES)


def tutorial() -> str:
    """Model fits of two images and three stars, beside AstroPhot."""
    import bench_model_fits

    return bench_model_fits.tutorial()


def noise() -> str:
    """The same over many seeds."""
    import bench_model_fits

    return bench_model_fits.noise()


def scenes() -> str:
    """Model fits of larger scenes."""
    import bench_model_fits

    return bench_model_fits.scenes()


def workers() -> str:
    """A large model fit in one piece and on two workers."""
    import bench_model_fits

    return bench_model_fits.workers()


def seeing() -> str:
    """A run of 5,000 exposures, looked at."""
    import bench_seeing

    return bench_seeing.main()


def scale() -> str:
    """Where one driver ends: exposures, tasks, 1,000 stand-ins of workers."""
    import bench_scale

    return bench_scale.main()


#: Each imports what it measures when it is called: a part needs its own peers only.
PARTS: Mapping[str, Callable[[], str]] = {
    part.__name__: part
    for part in (
        steps,
        executors,
        overhead,
        two_workers,
        driver,
        whole,
        flat,
        programs,
        tutorial,
        noise,
        scenes,
        workers,
        seeing,
        scale,
    )
}


def main() -> None:
    """Measure, print, write."""
    lines = "\n".join(f"  {name}: {part.__doc__}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f"parts:\n{lines}"
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all by default")
    named = parser.parse_args().parts or list(PARTS)
    unknown = [name for name in named if name not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in named:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Before the part adds its own load.
            measured = f"{circumstances()}\n\n{PARTS[name]()}"
        RESULTS.write_text(with_part(RESULTS.read_text(), name, measured))
        print(f"{name}\n\n{measured}\n", flush=True)


if __name__ == "__main__":
    main()
