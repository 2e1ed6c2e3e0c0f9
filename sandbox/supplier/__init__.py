"""A simulated supplier on an EDI network: takes 850s, answers 997, 855, 856 and 810 in its own
time.
"""
