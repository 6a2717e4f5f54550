"""What tests share: the private network, its hosts, foreign programs, the watch for leaks. No tests."""
