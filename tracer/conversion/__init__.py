"""Plain Python control flow as `cond`, `while_loop` and `scan`.

A function is parsed, its control flow is rewritten into calls (diastatic-malt, the kept fork of AutoGraph,
does the analysis), and compiled at the user's own file and lines, so that tracebacks and the sources of
equations are the user's. `operators.py` is what the rewritten code calls: what is not traced keeps the
meaning that Python gives it, what is traced is recorded as the control flow of `tracer.api`.

| file | holds |
| --- | --- |
| `source.py` | from a function to the syntax tree it was compiled from |
| `prepare.py` | rewrites that keep Python's meaning where AutoGraph would not, and what is refused |
| `transpile.py` | from the tree to a function, once for each code object |
| `calls.py` | which functions are converted as they are called |
| `operators.py` | the names that converted code uses |
| `branches.py`, `loops.py`, `logic.py` | `if`, `while` and `for`, `and`, `or`, `not` and comparisons |
| `values.py`, `containers.py` | variables and mutable containers around staged code |

Nothing here is imported before a function is converted.
"""
