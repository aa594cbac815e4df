"""What an operation costs, here and elsewhere: `python -m benchmarks`.

`peers/` opens each store as its users do, `tasks/` is what runs and is timed in processes of its own, `work/` arranges
those processes and lets the peers take turns, and the rest reports.
"""
