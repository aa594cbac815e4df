"""How many synced writes a second the disk allows, without any store.

    python -m benchmarks.syncs [--processes 1 2 4 8] [--seconds 1] [--rounds 3]

Processes that each write 400 bytes to a part of one file, whose blocks are allocated and filled, and sync it, again and
again: what a store with ``durability="full"`` does at least. The file lies where Python puts temporary files.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

_ENTRY_BYTES = 400
_FILE_BYTES = 8 * 1024**2


def _write(
    path: Path, start: int, end: int, seconds: float, together: Barrier, counts: "multiprocessing.Queue[int]"
) -> None:
    descriptor, entry, offset, count = os.open(path, os.O_RDWR), os.urandom(_ENTRY_BYTES), start, 0
    together.wait()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        os.pwrite(descriptor, entry, offset)
        os.fdatasync(descriptor)
        offset = offset + _ENTRY_BYTES if offset + 2 * _ENTRY_BYTES <= end else start
        count += 1
    counts.put(count)
    os.close(descriptor)


def measure(path: Path, processes: int, seconds: float) -> float:
    """Return how many writes a second all processes made together."""
    path.write_bytes(bytes(_FILE_BYTES))
    together: Barrier = multiprocessing.Barrier(processes)
    counts: multiprocessing.Queue[int] = multiprocessing.Queue()
    share = _FILE_BYTES // processes
    started = [
        multiprocessing.Process(target=_write, args=(path, n * share, (n + 1) * share, seconds, together, counts))
        for n in range(processes)
    ]
    for process in started:
        process.start()
    total = sum(counts.get() for _ in started)
    for process in started:
        process.join()
    return total / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crudjt-bench-") as name:
        rates: dict[int, list[float]] = {processes: [] for processes in settings.processes}
        for _ in range(settings.rounds):
            for processes in settings.processes:
                rates[processes].append(measure(Path(name, "log"), processes, settings.seconds))
        for processes, found in rates.items():
            print(f"{processes:>3} processes: {median(found):>8,.0f} a second")


if __name__ == "__main__":
    main()
