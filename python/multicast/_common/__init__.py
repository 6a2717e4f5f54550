"""Code that several layers share: constants, text, the console, command-line argument types."""
