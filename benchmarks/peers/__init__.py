"""Who is measured: one module a library, imported only in that library's own process."""
