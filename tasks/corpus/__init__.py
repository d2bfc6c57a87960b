"""What comes in and how it is tidied: sources, languages, asked lengths, filters, duplicates, cleaning."""
