"""``python -m tests.upstream``: run the tests of other projects with our sessions."""

import argparse
import sys

from tests.upstream.projects import PROJECTS
from tests.upstream.running import run


def main() -> int:
    """Run what the command line says; return 1 if a test differs that is not written down, or no longer differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("projects", nargs="*", choices=[*PROJECTS, []], help="default: all")
    wrong = 0
    for name in parser.parse_args().projects or PROJECTS:
        project = PROJECTS[name]
        outcome = run(project)
        right = outcome.failed == project.differences.keys() and outcome.passed >= project.least
        wrong += not right
        print(
            f"{name}: {outcome.passed} tests, {len(outcome.failed)} differ: {'as written down' if right else 'WRONG'}"
        )
        for test in sorted(outcome.failed ^ project.differences.keys()):
            print(f"  {'also' if test in outcome.failed else 'no longer'}: {test}")
        if not right:
            print(outcome.output[-5000:])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
