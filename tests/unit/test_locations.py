"""From a location to its backend: schemes, directories, options that fit, and backends of other packages."""

import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest

import crudjt
import crudjt.aio
from crudjt import _registry, opening
from tests.support.delegating import DelegatingStore, register, register_near


@pytest.fixture(autouse=True)
def _an_empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    for name in ("CRUDJT_STORE", "CRUDJT_PATH", "CRUDJT_ACCESS_TOKEN", "CRUDJT_ACCESS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "location",
    [
        "mysql://host",
        "http://host/path",
        "localhost:50051",
        "file:///srv/sessions",
        "grcp://host",
        "a-b+c.d:x",
        "memory:",
    ],
)
@pytest.mark.parametrize("open_store", [crudjt.open, crudjt.aio.open])
def test_an_unknown_scheme_is_refused_with_those_that_are_known_and_makes_nothing(
    open_store: Any, secret_key: str, location: str
) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        open_store(location, secret_key=secret_key)
    assert caught.value.parameter == "location"
    assert all(f"{scheme}:" in str(caught.value) for scheme in ("grpc", "grpcs", "unix"))
    assert "put ./ before it or pass a pathlib.Path" in str(caught.value)
    assert list(Path.cwd().iterdir()) == []


def test_a_message_about_a_location_does_not_repeat_it(secret_key: str) -> None:
    """It may hold a password."""
    for location in ("redis://user:hunter2@host", "grpc://user:hunter2@host"):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            crudjt.open(location)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["C:\\sessions", "a:b", "1a:b", "./redis:host", "sessions"])
def test_text_without_a_scheme_is_a_directory(secret_key: str, name: str) -> None:
    with crudjt.open(name, secret_key=secret_key) as store:
        assert store.location == str(Path(name).absolute())
    assert Path(name).is_dir()


@pytest.mark.parametrize("name", ["redis:host", "grpc:", "unix:socket"])
def test_a_path_object_is_always_a_directory(secret_key: str, name: str) -> None:
    with crudjt.open(Path(name), secret_key=secret_key):
        assert Path(name).is_dir()


@pytest.mark.parametrize("kind", [str, Path])
def test_a_tilde_is_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str, kind: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "own"))
    with crudjt.open(kind("~/sessions"), secret_key=secret_key) as store:
        assert store.location == f"{tmp_path}/own/sessions"
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("location", ["", "a\0b", "~no-such-user-here/x", "M\udcfcnchen", b"bytes", 5, []])
def test_what_names_no_directory_is_refused(secret_key: str, location: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(location, secret_key=secret_key)
    assert caught.value.parameter == "location"
    assert list(Path.cwd().iterdir()) == []


def test_a_directory_below_one_whose_name_is_not_utf_8_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str
) -> None:
    above = tmp_path / os.fsdecode(b"M\xfcnchen")
    above.mkdir()
    monkeypatch.chdir(above)
    with pytest.raises(crudjt.InvalidParameter, match="must be a path in UTF-8"):
        crudjt.open("sessions", secret_key=secret_key)
    assert list(above.iterdir()) == []


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("GRPC://localhost:1", "localhost:1"),
        ("GrpcS://localhost:1", "localhost:1"),
        ("unix:/run/socket", "unix:/run/socket"),
        ("UNIX:///run/socket", "unix:/run/socket"),
    ],
)
def test_schemes_are_compared_in_lower_case_and_a_socket_has_two_spellings(location: str, target: str) -> None:
    assert opening.parse(location, {}).place.target == target
    with crudjt.open(location) as store:
        assert store.location == location


@pytest.mark.parametrize("variable", ["CRUDJT_STORE", "CRUDJT_PATH"])
def test_the_environment_names_any_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_key: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "unix:/run/socket")
    with crudjt.open() as store:
        assert store.location == "unix:/run/socket"
    monkeypatch.setenv(variable, str(tmp_path / "store"))
    with crudjt.open(secret_key=secret_key) as store:
        assert store.location == str(tmp_path / "store")
    monkeypatch.setenv(variable, "redis://host")
    with pytest.raises(crudjt.InvalidParameter, match="location"):
        crudjt.open(secret_key=secret_key)


def test_the_newer_variable_comes_before_the_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUDJT_STORE", "unix:/newer")
    monkeypatch.setenv("CRUDJT_PATH", "unix:/older")
    with crudjt.open() as store:
        assert store.location == "unix:/newer"


# Options


def test_the_options_that_are_passed_on_are_those_of_open() -> None:
    parameters = inspect.signature(crudjt.open).parameters
    hints = get_type_hints(crudjt.open)
    assert get_type_hints(opening.OpenOptions) == {name: hints[name] for name in parameters if name != "location"}
    assert opening.OpenOptions.__total__ is False


def test_each_option_of_open_is_taken_by_a_backend_and_there_is_no_other() -> None:
    modules = {_registry.DIRECTORY_BACKEND, *_registry.BACKENDS.values()}
    taken = set[str]().union(*(import_module(module).OPTIONS for module in modules))
    assert taken | {"moving_to"} == opening.OpenOptions.__annotations__.keys()  # which needs two of them


# Backends


def test_the_registry_has_the_schemes_of_each_backend() -> None:
    for module in {_registry.DIRECTORY_BACKEND, *_registry.BACKENDS.values()}:
        of_module = {scheme for scheme, each in _registry.BACKENDS.items() if each == module}
        assert set(import_module(module).SCHEMES) == of_module


@pytest.mark.parametrize("location", ["sessions", "grpc://localhost"])
def test_to_check_a_location_imports_no_driver(location: str) -> None:
    code = (
        "import sys, crudjt.opening as opening\n"
        f"options = {{'secret_key': {crudjt.generate_secret_key()!r}}} if {location!r} == 'sessions' else {{}}\n"
        f"opening.parse({location!r}, options)\n"
        "sys.exit(bool({'lmdb', 'grpc', 'google.protobuf', 'asyncio'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    assert list(Path.cwd().iterdir()) == []


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return register_near(monkeypatch)


@pytest.mark.usefixtures("backend")
def test_an_entry_point_adds_the_backend_of_another_package(secret_key: str) -> None:
    with crudjt.open("NEAR:sessions", secret_key=secret_key) as store:
        assert isinstance(store, DelegatingStore)
        assert store.read(store.create({"a": 1})) is not None
    assert Path("sessions").is_dir()
    with pytest.raises(crudjt.InvalidParameter, match="near:"):
        crudjt.open("far:sessions", secret_key=secret_key)
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open("near:sessions", secret_key=secret_key, timeout=1)
    assert caught.value.parameter == "timeout"


def test_no_other_package_takes_a_scheme_of_ours(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "grpc")
    assert _registry.backend_of("grpc://localhost") is not backend
