"""SpeechLMs: the protocol, the compact model (speech encoder + connector + causal LM), adapters, loading."""

SHIPPED = "shipped"
"""The name of the SpeechLM that comes with the package."""
