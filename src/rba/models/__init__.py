"""SpeechLMs: the protocol, the compact model (speech encoder + connector + causal LM), adapters, loading."""
