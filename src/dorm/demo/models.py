"""Flights, and what they refer to."""

import dorm


class Airline(dorm.Model):
    code = dorm.CharField(max_length=2, primary_key=True)
    name = dorm.CharField(max_length=60)

    class Meta:
        app_label = "flights"
        ordering = ["code"]


class Airport(dorm.Model):
    code = dorm.CharField(max_length=3, primary_key=True)
    name = dorm.CharField(max_length=80)
    latitude = dorm.FloatField(null=True)
    longitude = dorm.FloatField(null=True)
    altitude = dorm.IntegerField(null=True)
    timezone = dorm.CharField(max_length=40, default="")

    class Meta:
        app_label = "flights"
        ordering = ["code"]


class Plane(dorm.Model):
    tail_number = dorm.CharField(max_length=6, primary_key=True)
    year = dorm.IntegerField(null=True)
    kind = dorm.CharField(max_length=40)
    manufacturer = dorm.CharField(max_length=40)
    model = dorm.CharField(max_length=40)
    engines = dorm.SmallIntegerField()
    seats = dorm.IntegerField()

    class Meta:
        app_label = "flights"


class Weather(dorm.Model):
    origin = dorm.ForeignKey(Airport, related_name="weather")
    hour = dorm.DateTimeField()
    temperature = dorm.FloatField(null=True)
    wind_speed = dorm.FloatField(null=True)
    visibility = dorm.FloatField()

    class Meta:
        app_label = "flights"
        indexes = [dorm.Index(fields=["origin", "hour"])]


class Flight(dorm.Model):
    day = dorm.DateField()
    month = dorm.SmallIntegerField()
    number = dorm.IntegerField()
    carrier = dorm.ForeignKey(Airline, related_name="flights")
    plane = dorm.ForeignKey(Plane, related_name="flights", null=True)
    tail_number = dorm.CharField(max_length=6, default="")
    origin = dorm.ForeignKey(Airport, related_name="departures")
    destination = dorm.ForeignKey(Airport, related_name="arrivals")
    departure_delay = dorm.SmallIntegerField(null=True)
    arrival_delay = dorm.SmallIntegerField(null=True)
    distance = dorm.IntegerField()

    class Meta:
        app_label = "flights"
        indexes = [dorm.Index(fields=["day"])]


MODELS = (Airline, Airport, Plane, Weather, Flight)
