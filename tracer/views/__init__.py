"""Programs as people read them: listings, differences, what is found, pictures.

`sheet.py` lays out columns for terminals and plain text; the other files say what stands in them. Everything
here reads `ir.Function`s and changes none. rich is imported when something is laid out.
"""
