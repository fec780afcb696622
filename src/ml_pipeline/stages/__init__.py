"""Names of the serving image's programs in earlier versions; see serving/contract.py.

An earlier version of this module that judges an image of this one as its baseline starts it by these names.
"""
