"""Weakens the schema in every way the catalogue offers and sees which tests notice."""

from __future__ import annotations
