"""Settings for all tests."""

from hypothesis import settings

# A deadline on each example measures the machine and its other work, not the code: budgets have tests of their own.
settings.register_profile("modelver", deadline=None)
settings.load_profile("modelver")
