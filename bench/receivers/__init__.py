"""The receiving contestants in Python: each does what its library's own documentation shows, and no more.

A module for each set of packages, so that an interpreter loads what it has. What is not here: clocks,
processes, traffic. `worker.py` times the calls and `scenarios` sends.
"""
