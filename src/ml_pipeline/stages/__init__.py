"""Names that programs of the serving image had before the rooms; see serving/contract.py.

An older version of this module, which judges an image of this one as its baseline, still uses them.
"""
