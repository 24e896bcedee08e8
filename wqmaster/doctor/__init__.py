"""`wqmaster doctor`: find what is missing or wrong on this machine and in a campaign."""
