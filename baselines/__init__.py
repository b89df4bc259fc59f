"""Recipes of the reference results, and the results themselves."""
