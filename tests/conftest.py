"""Property tests draw the same examples in every run and never fail for being slow on a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("fixed", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")
