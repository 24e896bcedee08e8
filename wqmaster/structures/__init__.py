"""Structure files -> documents: every record of a file is read, or refused with the reason.

`formats.records_of` is the entrance; `base` says what a record is.
"""
