"""The comparison with the kernel's own floor and with the neighbours; no part of the library.

`python -m bench` runs it inside a private network namespace; `docs/benchmarks.md` tells the method.
"""
