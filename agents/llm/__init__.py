"""Agents whose decisions a language model makes."""
