"""Names that JAX has for the implementations of keys, by the tag in their type's name."""

from __future__ import annotations

KEY_IMPLEMENTATIONS = {"fry": "threefry2x32", "rbg": "rbg", "urbg": "unsafe_rbg"}
