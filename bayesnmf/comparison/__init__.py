"""Which model predicts cells left out best."""
