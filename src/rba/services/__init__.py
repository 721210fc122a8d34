"""Models behind a server of the OpenAI-compatible kind: vLLM, SGLang, llama.cpp or a hosted one."""
