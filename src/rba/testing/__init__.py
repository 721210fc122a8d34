"""Tiny parts for tests of rba and of what is built on it: no downloads, no weights, milliseconds."""
