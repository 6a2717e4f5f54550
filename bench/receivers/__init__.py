"""The receiving contestants in Python: each does what the documentation of its library shows, and no more.

There is a module for each set of packages, so that an environment imports only what it has. `worker.py` measures the
calls, and `scenarios` sends.
"""
