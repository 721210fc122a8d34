"""What a run shows in the end: one HTML page with results, curves, data and playable samples, and the model cards."""
