"""What the kernel takes from processes that share processors, without any store.

    python -m benchmarks.processors [--processes 4] [--seconds 2]

Processes that only compute, in pieces as long as the operations of the part ``processes``: nine in ten as a read, the
others as a write. The kernel takes the processor from each after some milliseconds, for as long, so some of the long
pieces take milliseconds more: no store with as many processes can have fewer of them.
"""

import argparse
import multiprocessing
import random
import time
from multiprocessing.synchronize import Barrier

from benchmarks.tasks.mix import READ_SHARE

_READ, _WRITE = 180, 1700  # turns of an empty loop: some 2 and 20 µs
_LONG_NS = 500_000
_PERCENTILES = (0.5, 0.99, 0.995, 0.999)
_BLOCK = 1000


def _compute(seconds: float, together: Barrier, results: "multiprocessing.Queue[list[int]]") -> None:
    rng, clock, took = random.Random(), time.perf_counter_ns, []  # noqa: S311 - it chooses what to compute
    together.wait()
    deadline = clock() + int(seconds * 1e9)
    while clock() < deadline:
        for turns in rng.choices((_READ, _WRITE), (READ_SHARE, 1 - READ_SHARE), k=_BLOCK):
            started = clock()
            for _ in range(turns):
                pass
            if turns == _WRITE:
                took.append(clock() - started)
    results.put(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2)
    settings = parser.parse_args()
    results: multiprocessing.Queue[list[int]] = multiprocessing.Queue()
    together = multiprocessing.Barrier(settings.processes)
    processes = [
        multiprocessing.Process(target=_compute, args=(settings.seconds, together, results))
        for _ in range(settings.processes)
    ]
    for process in processes:
        process.start()
    took = sorted(each for _ in processes for each in results.get())
    for process in processes:
        process.join()
    for share in _PERCENTILES:
        print(f"p{100 * share:g}: {took[int(len(took) * share)] / 1000:,.0f} µs")
    print(f"over {_LONG_NS // 1000} µs: {sum(each > _LONG_NS for each in took) / len(took):.2%} of {len(took):,}")


if __name__ == "__main__":
    main()
