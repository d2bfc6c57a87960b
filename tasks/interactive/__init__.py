"""The commands for one person at a terminal: `longwriter write` and `longwriter chat`."""
