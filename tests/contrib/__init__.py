"""Contrib modules on real databases."""
