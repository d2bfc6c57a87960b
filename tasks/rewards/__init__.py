"""Rewards of the stage reinforce: plug-ins that score a group of answers to one prompt, and how their scores become advantages."""
