"""Text LLMs that write instructions, answer them and say how likely an answer is."""
