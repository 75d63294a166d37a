"""Models that several processes write at once."""

from __future__ import annotations

import dorm


class Counter(dorm.Model):
    name = dorm.CharField(max_length=20, unique=True)
    code = dorm.CharField(max_length=20, unique=True, null=True)
    number = dorm.IntegerField(default=0)

    class Meta:
        app_label = "races"


class Loose(dorm.Model):
    """Nothing is unique but the key."""

    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "races"
