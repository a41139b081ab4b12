"""What is measured: every suite is a list of `Case`s, and knows nothing of runners or clocks."""
