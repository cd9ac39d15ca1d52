"""Real servers for tests: start them, share them, stop them."""
