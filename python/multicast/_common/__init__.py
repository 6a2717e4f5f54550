"""What several layers share: constants, text, the console, types of command-line arguments."""
