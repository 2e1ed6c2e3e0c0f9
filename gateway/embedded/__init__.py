"""PostgreSQL and Valkey from their wheels, for installations that name no server of their own."""
