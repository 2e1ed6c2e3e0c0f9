"""Order to receipt (PRC-02, 10, 11): sent, acknowledged, shipped, received."""
