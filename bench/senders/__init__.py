"""The sending contestants in Python: made for a group, a port and a size, each is a call that sends `count`.

A module for each set of packages. What is not here: clocks and processes; `worker.py` has them.
"""
