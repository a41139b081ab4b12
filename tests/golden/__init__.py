"""Golden tests: one file a case, `<pass>/<case>.ir`, which holds a function, `---`, and what it becomes."""
