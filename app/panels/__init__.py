"""The panels of the desk. Each asks the session, listens to it, and knows no other panel."""
