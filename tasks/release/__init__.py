"""The dataset as others get it: a folder with a card, a version with a tag, and what changed between two of them."""
