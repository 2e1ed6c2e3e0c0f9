"""People sign in, let apps and devices act for them, and sign out."""
