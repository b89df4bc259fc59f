"""Trained weights of reference agents: safetensors, each with a JSON card that records how it was trained."""
