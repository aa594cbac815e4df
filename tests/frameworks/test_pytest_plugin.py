"""The pytest plugin: its fixtures, and that it costs a run nothing that does not use them."""

import pytest

from tests.support.documents import blocks
from tests.support.project import ROOT

pytest_plugins = ["pytester"]

ALONE = ("-p", "_crudjt_pytest", "-p", "no:cacheprovider", "-q")


@pytest.fixture(autouse=True)
def no_other_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_each_test_has_a_store_of_its_own_and_a_clock_that_moves(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        assert "crudjt" not in sys.modules, "loaded at the start"
        import pytest


        @pytest.mark.parametrize("number", [1, 2])
        def test_it_is_empty(crudjt_store, number):
            assert crudjt_store.count() == 0
            crudjt_store.create({}, subject="ada")


        def test_a_session_ends_when_the_clock_says_so(crudjt_store, crudjt_clock):
            token = crudjt_store.create({"user_id": 42}, ttl=60)
            crudjt_clock.advance(59)
            assert crudjt_store.read(token).data == {"user_id": 42}
            crudjt_clock.advance(1)
            assert crudjt_store.read(token) is None


        def test_no_framework_is_loaded():
            assert not {"django", "flask", "starlette", "grpc"} & sys.modules.keys()
    """)
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=4)


def test_the_files_of_a_store_go_with_its_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pathlib

        import pytest

        places = []


        def test_it_fails(crudjt_store):
            places.append(pathlib.Path(crudjt_store.location))
            assert not places[0].is_dir()


        def test_its_store_is_gone():
            assert not places[0].exists()
    """)
    pytester.runpytest_inprocess(*ALONE).assert_outcomes(passed=1, failed=1)


def test_the_tests_on_the_page_about_tests_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("\n".join(blocks((ROOT / "docs" / "testing.md").read_text())))
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=3)
