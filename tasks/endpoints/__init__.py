"""Models behind HTTP. Code asks for a role; which vendor, server or rehearsal answers is a matter of settings."""
