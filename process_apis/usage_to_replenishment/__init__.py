"""Usage to replenishment (PRC-03, 16, 17, 18): what was used moves stock, cost, charge and
demand.
"""
