"""Structure files -> documents: every record is read, or refused with a reason.

`formats.records_of` is the entry point; `base` defines a record.
"""
