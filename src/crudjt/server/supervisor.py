"""Supervisor process: reserve the ports, start the workers, and restart each that dies."""

import logging
import multiprocessing
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from crudjt._rpc.listening import Address, TcpAddress
from crudjt.base import Store
from crudjt.errors import StoreError, StoreFailed
from crudjt.server.server import GRACE_SECONDS, probe
from crudjt.server.sockets import reserved
from crudjt.server.worker import STOP_SIGNALS, WorkerSettings, run_worker

_SPAWN = multiprocessing.get_context("spawn")
_START_SECONDS = 60.0
_TICK_SECONDS = 1.0
_SECONDS_BETWEEN_STARTS = 1.0  # of one worker, so that one that always fails is no busy loop
_END_SECONDS = 10.0  # after the grace period of calls, to close the store
_WAKING = STOP_SIGNALS | {signal.SIGCHLD}

_logger = logging.getLogger("crudjt.server")


def block_signals() -> None:
    """Block the signals that `Supervisor.run` waits for. Call this before any thread starts."""
    resource_tracker.ensure_running()  # multiprocessing would start it with the first worker, and unblock them again
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)


class Supervisor:
    """Runs some workers on the same addresses.

    Args:
        store: the store, open in this process; it is probed once a second.
        settings: the settings of every worker, without the addresses.
        addresses: addresses to listen on. A Unix socket cannot be shared, so only the first worker has it.
        workers: number of workers.

    """

    def __init__(self, store: Store, settings: WorkerSettings, addresses: Sequence[Address], workers: int) -> None:
        """Prepare; nothing runs before `run`."""
        self._store = store
        self._settings = settings
        self._addresses = addresses
        self._workers = workers

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish running calls.

        Raises:
            InvalidParameter: an address is not available.
            StoreFailed: the disk failed; all processes must end before the store can be recovered.
            StoreError: a worker cannot open the store.

        """
        with ExitStack() as held:
            shared = [
                str(held.enter_context(reserved(address)))
                for address in self._addresses
                if isinstance(address, TcpAddress)
            ]
            alone = [str(address) for address in self._addresses if not isinstance(address, TcpAddress)]
            workers: list[_Worker] = []
            try:
                for number in range(self._workers):
                    listen = (*shared, *alone) if number == 0 else tuple(shared)
                    if listen:
                        workers.append(_Worker(number, replace(self._settings, listen=listen)))
                for worker in workers:
                    worker.wait_until_it_serves()
                _logger.info("ready: %s (workers: %d)", ", ".join((*shared, *alone)), len(workers))
                self._watch(workers)
                _logger.info("stopping: running calls are finished")
            finally:
                _stop(workers)

    def _watch(self, workers: Sequence["_Worker"]) -> None:
        while True:
            caught = signal.sigtimedwait(_WAKING, _TICK_SECONDS)
            if caught is not None and caught.si_signo in STOP_SIGNALS:
                return
            for worker in workers:
                worker.look_after()
            try:
                probe(self._store)
            except StoreFailed:
                raise
            except StoreError as error:
                _logger.warning("the store does not answer: %s", str(error))


class _Worker:
    """A worker process and its replacements."""

    def __init__(self, number: int, settings: WorkerSettings) -> None:
        self._number = number
        self._settings = settings
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=run_worker, args=(theirs, self._settings), name=f"worker {self._number}")
        self.process.start()
        self._started = time.monotonic()
        self._heard = self._serves = False
        theirs.close()

    def wait_until_it_serves(self) -> None:
        """Return when it serves, or raise the error that prevents it."""
        if not self._pipe.poll(_START_SECONDS):
            raise TimeoutError(f"worker {self._number} did not start in {_START_SECONDS:.0f} seconds")
        if error := _received(self._pipe):
            raise error
        self._heard = self._serves = True

    def look_after(self) -> None:
        """Log the result of its start, and restart it if it has died."""
        if not self._heard and self._pipe.poll():
            self._heard = True
            if error := _received(self._pipe):
                _logger.error("worker %d could not start: %s", self._number, str(error))
            else:
                self._serves = True
                _logger.info("worker %d serves, as process %d", self._number, self.process.pid)
        if self.process.is_alive():
            return
        if self._serves:
            _logger.error(
                "worker %d, process %d, died: %s", self._number, self.process.pid, _end(self.process.exitcode)
            )
            self._serves = False
        if time.monotonic() - self._started >= _SECONDS_BETWEEN_STARTS:
            self._pipe.close()
            self.process.close()
            self._start()


def _received(pipe: Connection) -> Exception | None:
    try:
        error: Exception | None = pipe.recv()
    except EOFError:
        return ChildProcessError("a worker died before it served")
    return error


def _end(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _stop(workers: Sequence[_Worker]) -> None:
    """Stop every worker after its running calls; kill one that does not end in time."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS + _END_SECONDS
    for worker in workers:
        worker.process.join(max(deadline - time.monotonic(), 0))
        if worker.process.is_alive():
            _logger.error("process %s does not end, and is killed", worker.process.pid)
            worker.process.kill()
            worker.process.join()
