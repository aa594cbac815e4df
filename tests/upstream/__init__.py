"""The tests of other projects, from their published source packages, with our sessions in place of theirs.

Nothing of theirs is kept here: the packages are downloaded into a cache. `projects.py` says what is run and which tests
differ, and why; `engines/` is what is put into their processes.
"""
