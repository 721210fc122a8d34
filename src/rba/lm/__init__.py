"""The causal LM under teachers, SpeechLMs and rewards: loading, chat frames, sampling, generation, scoring."""
