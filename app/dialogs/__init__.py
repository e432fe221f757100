"""The dialogs of the desk. Each returns what a person chose and does nothing itself."""
