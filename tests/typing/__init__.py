"""What type checkers must accept and must refuse: mypy and pyright check these modules, and nothing runs them.

A line that must be refused carries an ignore for each of the two. If it is not refused, its ignore is unused, and both
report that.
"""
