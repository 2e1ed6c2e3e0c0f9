"""Side-by-side measurements: Suture beside real peers, in one run, on one machine."""
