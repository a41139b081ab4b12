"""Where a value that is not finite comes from: the first equation that made one, inside loops and branches too.

`kinds` says what counts, `flagged` looks at every value of a program, `inside` enters an equation that holds
functions at the trip that matters, `search` walks backwards from a result. Everything is programs of the IR;
whoever runs them is given to the search. Imports `ir` only.
"""

from ir.origins.kinds import Kind
from ir.origins.search import Argument, Origin, Trip, search

__all__ = ["Argument", "Kind", "Origin", "Trip", "search"]
