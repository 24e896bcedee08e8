"""`wqmaster doctor`: finds what is missing or wrong on this machine and in a campaign."""
