"""What is in a document: by our own codecs and mappings, and by others as a second opinion."""
