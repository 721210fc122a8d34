"""Text to speech in a thousand voices: engines, speakers, acoustics, the intelligibility gate and the speech stage."""
