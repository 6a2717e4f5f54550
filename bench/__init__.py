"""The comparison with a C loop (the floor) and with other libraries. It is not part of the package.

`python -m bench` runs it inside a private network namespace; `docs/benchmarks.md` describes the method.
"""
