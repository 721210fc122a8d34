"""Making a compact SpeechLM: a corpus of texts, their speech as encoder features, CTC training, distillation, WER."""
