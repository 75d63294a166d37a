"""Opt-in modules on public points of dorm; import the one you want, e.g. ``from dorm.contrib import querystats``."""
