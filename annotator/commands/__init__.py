"""One file per command of the command line: functions that yield `Progress`. `main.py` calls them, and so does the desk's worker.

Imports of torch stay inside functions, so that `main.py --help` and the light commands start at once.
"""
