"""The printed forms for people, kept as files beside this one: one file a case."""
