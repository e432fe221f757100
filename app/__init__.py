"""The desk. Importing the package imports nothing: the commands without a window run where Qt is not installed."""
