"""EDI: business documents over an EDI network, one connector per standard."""
