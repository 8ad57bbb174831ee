"""The version of the course, in one place."""

__version__ = "1.0.0"
