"""Trained weights of reference agents: safetensors, each with a JSON card that records its training command."""
