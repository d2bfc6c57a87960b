"""Supervised fine-tuning: chat template, answer-only targets, packing, and the trainer that accelerate launches."""
