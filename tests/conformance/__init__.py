"""Every public function of tracer against its counterpart in JAX, on random operands."""
