"""The pictures of the documentation, and the scripted models that they show."""
