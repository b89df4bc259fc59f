"""Seeded generators of text whose truth is known by construction."""
