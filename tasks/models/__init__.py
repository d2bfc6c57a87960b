"""Base models on this machine: packages of known weights, and GGUF files as folders that can be trained and served."""
