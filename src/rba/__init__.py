"""rba: align speech language models to text teachers."""

__version__ = "0.1.0"
