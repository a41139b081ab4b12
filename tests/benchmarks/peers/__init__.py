"""Peers that go wrong."""
