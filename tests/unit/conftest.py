"""Settings of all unit tests."""

from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does: no test fails for that.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
