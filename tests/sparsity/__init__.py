"""Tests of sparsity patterns and colourings."""
