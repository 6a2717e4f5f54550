"""The work of the commands, as plain functions and classes that a program can import.

Nothing here parses command lines or prints.
"""
