"""What goes wrong with compressed data."""


class CompressionError(ValueError):
    """Compressed data are damaged, or were made by another model, machine or version."""
