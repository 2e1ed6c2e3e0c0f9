"""The suture command line: one module a command."""
