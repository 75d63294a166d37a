"""Models of the contrib tests."""

from __future__ import annotations

import dorm


class Customer(dorm.Model):
    name = dorm.CharField(max_length=100)
    email = dorm.EmailField(default="", pii=True)
    phone = dorm.IntegerField(null=True, pii=True)

    class Meta:
        app_label = "contrib_tests"


class Order(dorm.Model):
    customer = dorm.ForeignKey(Customer, related_name="orders")
    number = dorm.IntegerField(default=0)

    class Meta:
        app_label = "contrib_tests"


MODELS = (Customer, Order)
