"""Readers that turn structure files into documents, and refuse records that they cannot read.

`formats.records_of` is the entry point. The module `base` defines a record.
"""
