"""Runs on object stores: whatever fsspec opens by its URL."""
