"""Invoice matching (PRC-13): order, receipt and invoice held against each other."""
