"""Checks of results: whether the labels of a data set can be right. All functions are pure.

A result whose diagnosis and parsers are sound can still have forces that do not add up to zero, or
belong to another state. Each check measures one number, and the campaign's `checks:` sets the
limits beyond which it warns or refuses. Checks see only quantities that programs share
(`wqmaster.parsers.quantities`), in the units given there.
"""
