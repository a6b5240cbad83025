"""A pytest plugin that runs each marked test in a freshly forked process.

Everything that users need is on the command line, in markers and in ini files; plugin authors find
the hooks in `pytest_forkiso.hookspecs`.

PYTEST_DONT_REWRITE: templates load this package before pytest could rewrite its assertions; it has none.
"""
