"""Experience APIs: one folder per audience; they reshape, they never decide."""
