"""The command line: grammar, output, signals, errors and the commands.

Start-up time matters here: ``multicast --help`` should cost little more than Python itself. The modules therefore
import what they need when they need it, and define ``TYPE_CHECKING`` themselves, because ``typing`` is slow to import.
"""
