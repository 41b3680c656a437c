from hypothesis import settings

# Time per example depends on the machine, and on what else runs there.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
