"""The sending contestants in Python: each returns a function that sends `count` datagrams.

There is a module for each set of packages. `worker.py` measures the calls.
"""
