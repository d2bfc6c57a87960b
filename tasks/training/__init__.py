"""SFT and DPO: chat templates, answer-only targets, packing, preference pairs, and the trainer that accelerate launches."""
