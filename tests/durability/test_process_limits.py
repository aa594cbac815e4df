"""What the system keeps from a process: limits, a hidden `/proc`, the right time. The errors name the remedy."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import crudjt
from tests.support.processes import Fork

NO_DESCRIPTOR = "this process has no free file descriptor; raise its limit (ulimit -n), or close files and stores"
FILE_TOO_LARGE = "a file has reached the limit of this process on the size of files; raise it (ulimit -f)"


def failure(call: Callable[[], object]) -> tuple[type[Exception], str]:
    with pytest.raises(crudjt.StoreError) as caught:
        call()
    return type(caught.value), str(caught.value)


def with_few_descriptors(path: Path, key: str) -> list[tuple[type[Exception], str]]:
    """Take all descriptors, look at what fails, give them back, and look at what works."""
    with crudjt.open(path, secret_key=key) as store:
        token = store.create({})
        limit = max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 16
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        taken = []
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        assert store.read(token)
        failures = [
            failure(lambda: crudjt.open(path.with_name("other"), secret_key=key)),
            failure(store.sweep),
            failure(lambda: store.backup(path.with_name("copy"))),
        ]
        for descriptor in taken:
            os.close(descriptor)
        store.sweep()
        store.backup(path.with_name("copy"))
    return failures


def test_a_process_without_a_free_descriptor_is_told_so_and_goes_on_later(path: Path, secret_key: str) -> None:
    others = [path.with_name("other"), path, path.with_name("copy")]
    assert Fork(with_few_descriptors, path, secret_key).wait().result == [
        (crudjt.StoreBusy, f"{other}: {NO_DESCRIPTOR}") for other in others
    ]


@pytest.mark.parametrize("limit", [100_000, 10_000_000])
def test_a_limit_on_the_size_of_files_is_no_full_disk(path: Path, secret_key: str, limit: int) -> None:
    """The log meets the first, and LMDB the second."""

    def fill() -> tuple[type[Exception], str]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        def create() -> None:
            with crudjt.open(path, secret_key=secret_key) as store:
                for _ in range(2_000):
                    store.create({"x": "x" * 30_000})

        return failure(create)

    kind, text = Fork(fill).wait().result
    assert kind is crudjt.StoreFull
    assert text.partition(": ")[2] == FILE_TOO_LARGE


@pytest.mark.root
def test_a_hidden_proc_names_the_file_that_is_needed(path: Path, secret_key: str) -> None:
    """As systemd's ``ProcSubset=pid`` hides it."""
    code = f"import crudjt; crudjt.open({str(path)!r}, secret_key={secret_key!r})"
    script = 'mount -t proc -o subset=pid proc /proc && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, sys.executable, code],
        capture_output=True, check=False, timeout=60, text=True,
    )  # fmt: skip
    wanted = "cannot be used without /proc/sys/kernel/random/boot_id; mount /proc without subset=pid (ProcSubset=all)"
    assert f"StoreInaccessible: {path}: {wanted}" in done.stderr


def test_a_clock_before_1970_is_refused(path: Path, secret_key: str) -> None:
    kind, text = failure(lambda: crudjt.open(path, secret_key=secret_key, clock=lambda: -1))
    assert kind is crudjt.StoreInaccessible
    assert text == f"{path}: the clock of this system shows a time before 1970; set it"
    assert not path.exists()


def test_a_place_where_no_directory_can_be_made_is_inaccessible(secret_key: str) -> None:
    place = Path("/proc/crudjt")
    kind, text = failure(lambda: crudjt.open(place, secret_key=secret_key))
    assert kind is crudjt.StoreInaccessible
    assert text == f"{place}: cannot be used: No such file or directory"
