"""The name under which other tools find this project. The code is in tasks/ and flows/."""
