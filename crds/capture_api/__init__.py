"""The API of trafficcapture.io as Python values: types, selection, resolution, conditions.

Pure: this package imports the standard library and msgspec only. The schemas beside it
(`crds/*.yaml`) say the same things to the API server; the tests hold the two against each other.
"""
