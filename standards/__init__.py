"""The public wire standards, sans-IO: bytes in, words of the standard or one named failure out."""
