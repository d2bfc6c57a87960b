"""Clients and servers for models behind HTTP. Code asks for a role; settings decide which vendor, server or rehearsal answers."""
