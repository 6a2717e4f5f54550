"""Helpers of the tests: the private network, its hosts, other programs, leak detection. No tests."""
