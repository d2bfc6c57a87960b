"""Analysis of a single text: counts, lengths, language, repetition, endings. Imports only base modules; every package may import it."""
