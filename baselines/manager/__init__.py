"""Language models trained to manage a memory: dialogues, warm-up, reinforcement, and measures."""
