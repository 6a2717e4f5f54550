"""The command line: grammar, output, signals and errors. No networking."""
