"""What can be said of a text alone. Imports nothing but the ground floor, and may be imported by every other package."""
