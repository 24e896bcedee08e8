"""Readers that prove exported files. They share no code and no table of keys with the writers."""
