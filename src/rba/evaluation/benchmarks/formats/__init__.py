"""Layouts of benchmark data, one a module: each has `load(settings)`, which yields items."""
