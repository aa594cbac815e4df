"""``python -m crudjt``: the shell command, where it is not on the search path."""

from crudjt.cli import main

if __name__ == "__main__":
    main(prog_name="crudjt")
