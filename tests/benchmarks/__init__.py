"""Benchmarks that anyone can run, with the project installed, from the folder ``tests``.

``python -m benchmarks.forkcore`` compares ways to create a process, ``python -m benchmarks.plugin``
ways to run a test suite. Contenders take turns in one run (A B A B), the machine is described, and
the outcome is a Markdown table of medians and ratios, and JSON with every sample.
"""
