"""The demo: people with known truth, drawn and written as ordinary data sets, then walked through the product's own path."""
