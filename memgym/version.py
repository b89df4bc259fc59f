"""The version of memgym, also the package's."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
