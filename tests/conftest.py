"""How hard property tests try.

Hypothesis profiles, chosen by `HYPOTHESIS_PROFILE` (default: `ci` where `CI` is set, else `dev`):
`ci` repeats the same few examples, `dev` draws new ones, `deep` draws many.
"""

import os

from hypothesis import HealthCheck, settings

# The first example of a property compiles, the others do not: a deadline would only measure that.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, max_examples=24, database=None)
settings.register_profile("deep", settings.get_profile("dev"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
